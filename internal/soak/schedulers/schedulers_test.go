package schedulers

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/idempotency"
	"github.com/batch-go/batch/internal/brokers"
)

const (
	// processes is how many there are at a time, and each how many schedulers a process has:
	// twenty in all.
	processes, each = 4, 5
	// skew is how far the clocks are off at most: 80 ticks.
	skew = 2 * time.Second
)

// ticksFlag is how long the day is.
var ticksFlag = flag.Int("schedulers.ticks", 60, "how many ticks there are, one a minute: 1440 for a whole day")

// TestTwentySchedulers runs twenty schedulers in four processes on each broker, and kills a
// process again and again. Each tick is one job.
func TestTwentySchedulers(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) (url string, unique bool){
		"redis": func(t *testing.T) (string, bool) {
			return brokers.Redis(t, brokers.Redis8).URL() + "?dedup_window=700h", true
		},
		"nats": func(t *testing.T) (string, bool) {
			return brokers.NATS(t, brokers.NATS2).URL() + "?dedup_window=700h", true
		},
		"rabbitmq": func(t *testing.T) (string, bool) { return brokers.RabbitMQ(t, brokers.RabbitMQ4).URL(), false },
		"sqs": func(t *testing.T) (string, bool) {
			s := brokers.SQS(t)
			query := url.Values{"endpoint": {s.URL()}, "wait": {"1s"}}
			return "sqs://" + s.Username + ":" + s.Password + "@" + brokers.SQSRegion + "/?" + query.Encode(), false
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			url, unique := open(t)
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			a := assignment{URL: url, Queue: fmt.Sprintf("cron-%d", time.Now().UnixNano()), Begin: time.Now().Add(skew), Ticks: *ticksFlag}
			store := idempotency.NewMemory(0)
			if !unique {
				a.Store = serve(t, store)
			}
			kills := a.disturb(t, rand.New(rand.NewPCG(seed, 0)))
			jobs, runs, twice := a.drain(t, store)
			doubles := jobs - a.Ticks
			t.Logf("%d ticks, %d schedulers, %d kills: %d jobs, %d ticks ran", a.Ticks, processes*each, kills, jobs, runs)
			switch {
			case runs != a.Ticks || twice != 0:
				t.Errorf("%d ticks ran, %d of them twice, want %d and none", runs, twice, a.Ticks)
			case unique && doubles != 0:
				t.Errorf("there were %d jobs too many", doubles)
			case doubles < 0 || doubles > kills*each:
				t.Errorf("there were %d jobs too many, want at most one for each of the %d schedulers that were killed", doubles, kills*each)
			}
		})
	}
}

// disturb runs the processes until all their schedulers are through. It returns how many
// were killed.
func (a assignment) disturb(t *testing.T, random *rand.Rand) (kills int) {
	t.Helper()
	running := make([]*process, processes)
	begin := func(i int) {
		a.Skews = nil
		for range each {
			a.Skews = append(a.Skews, time.Duration(random.Int64N(int64(2*skew)))-skew)
		}
		running[i] = start(t, a)
	}
	for i := range running {
		begin(i)
	}
	kills = max(4, a.Ticks/100)
	killing := time.NewTicker((time.Duration(a.Ticks)*time.Minute/pace + 2*skew) / time.Duration(kills+1))
	defer killing.Stop()
	for range kills {
		<-killing.C
		i := random.IntN(processes)
		running[i].kill()
		begin(i)
	}
	for _, p := range running {
		<-p.through
		_ = p.stdin.Close()
		<-p.ended
		if p.err != nil || len(p.odd) > 0 {
			t.Errorf("a process ended with %v, and wrote %q", p.err, p.odd)
		}
	}
	return kills
}

// drain runs a worker until the queue is empty. It returns how many jobs there were, how
// many ticks ran, and how many of those more than once.
func (a assignment) drain(t *testing.T, store idempotency.Store) (jobs, runs, twice int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	d, err := batch.Open[batch.Driver](ctx, a.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close(context.WithoutCancel(ctx))
	q := batch.NewQueue(d, a.Queue)
	var mu sync.Mutex
	ran := make(map[string]int)
	counting := func(next batch.Handler) batch.Handler {
		return func(ctx context.Context, job *batch.JobInfo) error {
			mu.Lock()
			jobs++
			mu.Unlock()
			return next(ctx, job)
		}
	}
	middleware := []batch.Middleware{counting}
	if a.Store != "" {
		middleware = append(middleware, idempotency.Middleware(store))
	}
	w := batch.NewWorker(d, batch.WorkerConfig{
		Queues: []batch.WorkerQueue{{Name: a.Queue, Concurrency: 8}}, Middleware: middleware, Log: slog.New(slog.DiscardHandler),
	})
	batch.Handle(w, func(_ context.Context, job *batch.Job[tickArgs]) error {
		mu.Lock()
		defer mu.Unlock()
		ran[job.ID]++
		return nil
	})
	if err := w.Start(ctx); err != nil {
		t.Fatal(err)
	}
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for empty := 0; empty < 3 && ctx.Err() == nil; <-look.C {
		depth, err := q.Depth(ctx)
		if err != nil {
			t.Fatal(err)
		}
		empty++
		if depth.Waiting > 0 || depth.Running > 0 || depth.Scheduled > 0 {
			empty = 0
		}
	}
	if err := w.Stop(ctx); err != nil {
		t.Error(err)
	}
	if depth, err := q.Depth(ctx); err != nil || depth.Waiting != 0 || depth.Dead != 0 {
		t.Errorf("the queue has %+v after it was drained, %v", depth, err)
	}
	if err := q.Delete(ctx); err != nil {
		t.Error(err)
	}
	for _, n := range ran {
		if n > 1 {
			twice++
		}
	}
	return jobs, len(ran), twice
}
