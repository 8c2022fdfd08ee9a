package cron_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/cron"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/idempotency"
)

// tickArgs are the args of the tests' jobs.
type tickArgs struct{ Text string }

// Kind names them.
func (tickArgs) Kind() string { return "tick" }

// quietLog is for schedulers whose lines nobody reads.
func quietLog() cron.Option { return cron.WithLog(slog.New(slog.NewTextHandler(io.Discard, nil))) }

// skewed is a clock that is off.
type skewed time.Duration

// Now implements cron.Clock.
func (s skewed) Now() time.Time { return time.Now().Add(time.Duration(s)) }

// Sleep implements cron.Clock.
func (skewed) Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errKilled is what is returned to a process that is dead, once nothing counts any more.
var errKilled = errors.New("killed")

// phase is where in the storing of a tick a process is killed.
type phase int32

const (
	alive phase = iota
	beforeEnqueue
	afterEnqueue
	dead
)

// victim is a process that can be killed as kill -9 does: from then on its calls do not
// return, and what it has done stays done.
type victim struct {
	phase atomic.Int32
	// over is closed when the test has seen enough.
	over chan struct{}
}

// die does not return from a phase in which the process is to be killed.
func (v *victim) die(at phase) error {
	if v.phase.CompareAndSwap(int32(at), int32(dead)) || phase(v.phase.Load()) == dead {
		<-v.over
		return errKilled
	}
	return nil
}

// enqueue is the middleware of the process's queue.
func (v *victim) enqueue(next batch.Enqueuer) batch.Enqueuer {
	return func(ctx context.Context, jobs []*batch.EnqueueJob) []batch.Result {
		killed := func(err error) []batch.Result { return []batch.Result{{Err: err}} }
		if err := v.die(beforeEnqueue); err != nil {
			return killed(err)
		}
		results := next(ctx, jobs)
		if err := v.die(afterEnqueue); err != nil {
			return killed(err)
		}
		return results
	}
}

// mortalStore is the process's way to the store.
type mortalStore struct {
	idempotency.Store
	*victim
}

// Begin implements idempotency.Store.
func (s mortalStore) Begin(ctx context.Context, key string, ttl time.Duration) (idempotency.Claim, idempotency.State, error) {
	if err := s.die(dead); err != nil {
		return idempotency.Claim{}, 0, err
	}
	return s.Store.Begin(ctx, key, ttl)
}

// counted is a worker's count of jobs, by their IDs.
type counted struct {
	mu   sync.Mutex
	runs map[string]int
	odd  []string
}

// count runs a worker on the queue until it is empty.
func count(t *testing.T, d batch.Driver, queue string, middleware ...batch.Middleware) *counted {
	t.Helper()
	c := &counted{runs: make(map[string]int)}
	w := batch.NewWorker(d, batch.WorkerConfig{
		Queues: []batch.WorkerQueue{{Name: queue, Concurrency: 16}}, Middleware: middleware,
		Log: slog.New(slog.DiscardHandler),
	})
	batch.Handle(w, func(_ context.Context, job *batch.Job[tickArgs]) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.runs[job.ID]++
		if tick, ok := cron.TickOf(job.JobInfo); !ok || tick.Key() != job.ID {
			c.odd = append(c.odd, fmt.Sprint(job.ID, tick))
		}
		return nil
	})
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	if err := w.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(c.odd) > 0 {
		t.Errorf("jobs that do not know their tick: %q", c.odd)
	}
	return c
}

// twice counts the jobs that ran more than once.
func (c *counted) twice() (n int) {
	for _, runs := range c.runs {
		if runs > 1 {
			n++
		}
	}
	return n
}

// TestADayOfTwentySchedulers runs twenty processes for a day, with clocks that differ by
// ten seconds, and kills one every few minutes. The 1440 ticks of a schedule are 1440 jobs.
func TestADayOfTwentySchedulers(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	t.Run("unique keys", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			d := memory.New()
			defer d.Close(t.Context())
			kills := aDay(t, seed, func(v *victim, source cron.Source[*memory.Driver], options ...cron.Option) runnable {
				q := batch.NewQueue(d, "ticks", batch.WithEnqueueMiddleware(v.enqueue))
				return cron.New(q, source, options...)
			})
			c := count(t, d, "ticks")
			if len(c.runs) != 1440 || c.twice() != 0 {
				t.Errorf("%d ticks have a job, and %d more than one; want 1440 and none", len(c.runs), c.twice())
			}
			t.Logf("%d kills", kills)
		})
	})
	t.Run("a store", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			d := memory.NewPortable()
			defer d.Close(t.Context())
			store := idempotency.NewMemory(0)
			kills := aDay(t, seed, func(v *victim, source cron.Source[*memory.Portable], options ...cron.Option) runnable {
				q := batch.NewQueue(d, "ticks", batch.WithEnqueueMiddleware(v.enqueue))
				return cron.NewWithStore(q, mortalStore{store, v}, source, options...)
			})
			depth, err := batch.NewQueue(d, "ticks").Depth(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			// The handlers' store may be the schedulers'.
			c := count(t, d, "ticks", idempotency.Middleware(store))
			doubles := int(depth.Waiting) - 1440
			if len(c.runs) != 1440 || c.twice() != 0 || doubles < 0 || doubles > kills {
				t.Errorf("%d ticks ran, %d of them twice, and %d jobs were double; want 1440, none, and at most one for each of %d kills",
					len(c.runs), c.twice(), doubles, kills)
			}
			t.Logf("%d kills, %d double jobs", kills, doubles)
		})
	})
}

// runnable is a scheduler of some kind.
type runnable interface{ Run(context.Context) error }

// aDay runs the processes that open makes, and returns how many were killed.
func aDay[D batch.Driver](t *testing.T, seed uint64, open func(*victim, cron.Source[D], ...cron.Option) runnable) (kills int) {
	random := rand.New(rand.NewPCG(seed, 0))
	over := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	begin := time.Now()
	start := func() *victim {
		v := &victim{over: over}
		entry := cron.Entry[D]{
			Name: "minute", When: cron.Expr("* * * * *"), Args: tickArgs{"x"},
			Missed: cron.All(20*time.Minute, 100), Since: begin.Add(time.Second),
		}
		s := open(v, cron.Fixed(entry), quietLog(), cron.WithClock(skewed(random.IntN(10_000)-5_000)*skewed(time.Millisecond)))
		all.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		return v
	}
	victims := make([]*victim, 20)
	for i := range victims {
		victims[i] = start()
	}
	for time.Since(begin) < 24*time.Hour-10*time.Minute {
		time.Sleep(time.Duration(random.IntN(400)) * time.Second)
		i := random.IntN(len(victims))
		victims[i].phase.Store(int32(beforeEnqueue) + int32(random.IntN(3)))
		kills++
		time.Sleep(time.Duration(random.IntN(100)) * time.Second) // nobody notices at once
		victims[i].phase.Store(int32(dead))                       // if it has not come to the phase
		victims[i] = start()
	}
	// The last tick is that of midnight, for the slowest clock as well.
	time.Sleep(24*time.Hour + 10*time.Second - time.Since(begin))
	synctest.Wait()
	cancel()
	synctest.Wait()
	close(over)
	all.Wait()
	return kills
}
