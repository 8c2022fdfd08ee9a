package movers

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

var (
	allPairs = flag.Bool("movers.all", false, "each kind of broker to each other, and to another name on itself")
	jobCount = flag.Int("movers.jobs", 300, "jobs of each pair")
	kills    = flag.Int("movers.kills", 1, "movers that are killed, of each pair")
	seedFlag = flag.Uint64("movers.seed", 0, "of the random times; zero for one that differs")
)

// kind is a kind of broker.
type kind struct {
	name string
	// start starts one for the test and returns its URL.
	start func(*testing.T) string
	// alone says that one process at a time can open it.
	alone bool
}

// kinds are those that are moved between, in the order of the ring.
var kinds = []kind{
	{"redis", func(t *testing.T) string { return brokers.Redis(t, brokers.Redis8).URL() }, false},
	{"rabbitmq", func(t *testing.T) string { return brokers.RabbitMQ(t, brokers.RabbitMQ4).URL() }, false},
	{"nats", func(t *testing.T) string { return brokers.NATS(t, brokers.NATS2).URL() }, false},
	{"postgres", func(t *testing.T) string { return brokers.PostgreSQL(t, brokers.PostgreSQL17).URL() }, false},
	{"sqs", func(t *testing.T) string {
		s := brokers.SQS(t)
		query := url.Values{"endpoint": {s.URL()}, "wait": {"1s"}}
		return "sqs://" + s.Username + ":" + s.Password + "@" + brokers.SQSRegion + "/?" + query.Encode()
	}, false},
	{"embedded", func(t *testing.T) string { return "jetstream://" + filepath.ToSlash(t.TempDir()) }, true},
}

// remembers tells whether it remembers what it has imported.
func (k kind) remembers() bool { return k.name != "rabbitmq" && k.name != "sqs" }

// task is the args of the jobs.
type task struct{ N int }

// Kind implements batch.Args.
func (task) Kind() string { return "task" }

func TestQueuesMoveBetweenBrokers(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	rows := make([]row, len(kinds)*len(kinds))
	t.Run("pairs", func(t *testing.T) {
		for i, from := range kinds {
			for k, to := range kinds {
				if !*allPairs && k != (i+1)%len(kinds) && (i != 0 || k != 0) {
					continue
				}
				t.Run(from.name+" to "+to.name, func(t *testing.T) {
					t.Parallel() // they mostly wait for leases
					rows[i*len(kinds)+k] = movePair(t, from, to, rand.New(rand.NewPCG(seed, uint64(10*i+k))))
				})
			}
		}
	})
	t.Log("| from | to | jobs | movers killed | lost | there twice | found by the next mover |")
	for _, r := range rows {
		if r.from == "" {
			continue
		}
		t.Logf("| %s | %s | %d | %d | %d | %d | %d |", r.from, r.to, r.jobs, r.killed, r.lost, r.doubled, r.found)
	}
}

// row is what a pair came to.
type row struct {
	from, to                    string
	jobs, killed, lost, doubled int
	found                       int64
}

// movePair moves a queue, with movers that are killed, and counts what arrives.
func movePair(t *testing.T, from, to kind, random *rand.Rand) row {
	a := assignment{Queue: fmt.Sprintf("move-%s-%s-%x", from.name, to.name, random.Uint32()), From: from.start(t)}
	a.ToQueue, a.To = a.Queue, a.From
	if to.name == from.name {
		a.ToQueue += "-new"
	} else {
		a.To = to.start(t)
	}
	done := &ledger{runs: make(map[string]int), groups: make(map[string][]int)}
	dead, later := produce(t, a.From, a.Queue)
	stop := func() {}
	if !from.alone {
		stop = workOn(t, a.From, a.Queue, done, 2)
	}
	killed := 0
	most := max(time.Duration(*jobCount)*time.Millisecond, 200*time.Millisecond)
	for range *kills {
		if a.start(t).killAfter(20*time.Millisecond + rand.N(most)) {
			killed++
		}
	}
	p := a.start(t).wait(t)
	stop()
	t.Logf("%d movers were killed; the last one: %+v", killed, p)
	r := row{from: from.name, to: to.name, jobs: *jobCount, killed: killed, found: p.Found}
	r.lost, r.doubled = judge(t, a, done, dead, later)
	if r.lost > 0 {
		t.Errorf("%d jobs are lost", r.lost)
	}
	for group, order := range done.groups {
		if to.name == from.name && !slices.IsSorted(order) { // each side by itself
			t.Errorf("the jobs of %s ran in the order %v", group, order)
		}
	}
	if to.remembers() && r.doubled > int(p.Doubled) {
		t.Errorf("%d jobs are there twice, and the mover said so of %d", r.doubled, p.Doubled)
	}
	if most := killed * 4 * 100; r.doubled > most+int(p.Doubled) {
		t.Errorf("%d jobs are there twice, and the movers that were killed had no more than %d", r.doubled, most)
	}
	return r
}

// withDriver opens a broker for a while.
func withDriver(t *testing.T, url string, do func(d batch.Importer)) {
	t.Helper()
	d, err := batch.Open[batch.Importer](t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	do(d)
}

// produce stores the jobs: of ten one is dead, one is scheduled for seconds, and one for an hour where
// that can be listed. It returns the IDs of the dead and of those of the hour.
func produce(t *testing.T, url, queue string) (dead, later map[string]bool) {
	dead, later = make(map[string]bool), make(map[string]bool)
	withDriver(t, url, func(d batch.Importer) {
		_, inspector := d.(driver.Inspector)
		_, grouper := d.(driver.Grouper)
		entries := make([]batch.Entry, *jobCount)
		for i := range entries {
			e := &entries[i]
			e.State, e.ID, e.Kind, e.ContentType = batch.StateWaiting, idOf(i), task{}.Kind(), "application/json"
			e.Body = fmt.Appendf(nil, `{"N":%d}`, i)
			e.Headers = map[string]string{"n": fmt.Sprint(i)}
			e.EnqueuedAt = time.Now().Add(-time.Duration(*jobCount-i) * time.Second).UTC().Truncate(time.Millisecond)
			switch i % 10 {
			case 1:
				e.State, e.Reason, e.DeadAt, e.Failures, e.LastError = batch.StateDead, driver.ReasonAttempts, e.EnqueuedAt, 3, "it failed"
				dead[e.ID] = true
			case 2:
				e.State, e.Delay = batch.StateScheduled, time.Duration(1+i%20)*time.Second
			case 3:
				if inspector {
					e.State, e.Delay = batch.StateScheduled, time.Hour
					later[e.ID] = true
				}
			case 4, 5, 6:
				if grouper {
					e.Group = fmt.Sprint("group-", i%3)
				}
			}
		}
		q, err := batch.TryNewQueue(d, queue)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := batch.Import(t.Context(), q, entries); err != nil {
			t.Fatal(err)
		}
	})
	return dead, later
}

// idOf is the ID of a job.
func idOf(i int) string { return fmt.Sprintf("job-%06d", i) }

// ledger counts the runs of jobs that succeeded.
type ledger struct {
	mu     sync.Mutex // guards following
	runs   map[string]int
	groups map[string][]int
}

// on is the handler of a queue's worker. It fails each third job the first time.
func (l *ledger) on(queue string) func(context.Context, *batch.Job[task]) error {
	return func(_ context.Context, j *batch.Job[task]) error {
		if j.Args.N%3 == 0 && j.Attempt == 1 {
			return errors.New("the first attempt fails")
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.runs[j.ID]++
		if j.Group != "" {
			l.groups[queue+" "+j.Group] = append(l.groups[queue+" "+j.Group], j.Args.N)
		}
		return nil
	}
}

// workOn starts a worker, and returns what stops it.
func workOn(t *testing.T, url, queue string, done *ledger, concurrency int) (stop func()) {
	t.Helper()
	d, err := batch.Open[batch.Driver](t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorker(t, d, queue, done, concurrency)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := d.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}
}

// judge runs what has arrived, and counts what is lost and what is there more than once.
func judge(t *testing.T, a assignment, done *ledger, dead, later map[string]bool) (lost, doubled int) {
	var letters, scheduled map[string]int
	withDriver(t, a.To, func(d batch.Importer) {
		admin, err := batch.Admin(d, a.ToQueue)
		if err != nil {
			t.Fatal(err)
		}
		letters = lettersOf(t, admin)
		scheduled = scheduledOf(t, admin, later)
	})
	stop := workOn(t, a.To, a.ToQueue, done, 20)
	missing := func() (n int) {
		done.mu.Lock()
		defer done.mu.Unlock()
		for i := range *jobCount {
			if id := idOf(i); !dead[id] && !later[id] && done.runs[id] == 0 {
				n++
			}
		}
		return n
	}
	deadline := time.Now().Add(2 * time.Minute)
	for missing() > 0 && time.Now().Before(deadline) {
		wait(t, 100*time.Millisecond)
	}
	wait(t, 3*time.Second) // for those that come twice
	stop()
	for i := range *jobCount {
		id := idOf(i)
		n := done.runs[id] + letters[id]
		if later[id] {
			n += scheduled[id]
		}
		switch {
		case n == 0:
			lost++
			t.Logf("%s is lost", id)
		case n > 1:
			doubled++
		}
	}
	return lost, doubled
}

// wait waits for so long, or until the test ends.
func wait(t *testing.T, d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// newWorker makes a worker on one queue.
func newWorker(t *testing.T, d batch.Driver, queue string, done *ledger, concurrency int) *batch.Worker {
	t.Helper()
	w, err := batch.TryNewWorker(d, batch.WorkerConfig{
		Queues: []batch.WorkerQueue{{Name: queue, Concurrency: concurrency}},
		Log:    slog.New(slog.DiscardHandler), RetryPolicy: batch.ConstantBackoff(500 * time.Millisecond),
	})
	if err != nil {
		t.Fatal(err)
	}
	batch.Handle(w, done.on(queue))
	return w
}
