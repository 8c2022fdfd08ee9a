package batch_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// full is what a driver says when its broker has no room.
var full = &driver.Error{Driver: "scripted", Op: "settle", Kind: driver.ErrFull, Fate: driver.FateNotStored}

// refuse answers settlements one by one: those that match fail with err, and the others are
// carried out.
func (d *scripted) refuse(err error, matches func(*driver.Settlement) bool) {
	d.onSettleEach = func(s *driver.Settlement) error {
		if matches(s) {
			return err
		}
		return nil
	}
}

// A settlement that the broker refuses holds up no other: neither jobs that are done, nor
// others of which it has to keep something.
func TestOneRefusedSettlementHoldsUpNoOther(t *testing.T) {
	for _, outcome := range []driver.Outcome{driver.OutcomeDone, driver.OutcomeRetry, driver.OutcomeDead} {
		t.Run(outcome.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newScripted()
				d.refuse(full, func(s *driver.Settlement) bool { return string(s.Delivery.Body) == `{"N":0}` })
				r := newRig(t, d, func(c *batch.WorkerConfig) {
					c.RetryPolicy = batch.ConstantBackoff(time.Hour)
					c.Queues[0].Concurrency, c.Queues[0].Prefetch = 10, 10
				})
				batch.Handle(r.worker, func(_ context.Context, job *batch.Job[task]) error {
					kind := job.Args.N % 3
					if job.Args.N == 0 {
						kind = int(outcome) - 1
					}
					switch kind {
					case 1:
						return errors.New("later")
					case 3:
						return batch.Permanent(errors.New("never"))
					}
					return nil
				})
				const jobs = 300
				for n := range jobs {
					r.enqueue(t, task{n})
				}
				start := time.Now()
				r.start(t)
				for range jobs {
					<-r.events.ended
				}
				synctest.Wait()
				if took := time.Since(start); took > time.Second {
					t.Errorf("the %d jobs took %s beside one that is refused", jobs, took)
				}
				if left := depth(t, r.queue); left.Running != 1 {
					t.Errorf("left = %+v, want the one that is refused to be held", left)
				}
				d.mended.Store(true)
				r.stop(t)
			})
		})
	}
}

// A request that gets no answer, because the broker takes nothing that it would have to
// keep, holds up neither the jobs that are done nor, for long, others of its kind.
func TestARequestWithoutAnswerHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		var hung atomic.Bool
		d.onSettle = func(_ int, s []driver.Settlement) ([]error, bool) {
			if string(s[0].Delivery.Body) != `{"N":0}` || hung.Swap(true) {
				return nil, false
			}
			time.Sleep(50 * time.Second)
			return sameError(s, context.DeadlineExceeded), false
		}
		r := newRig(t, d, func(c *batch.WorkerConfig) {
			c.RetryPolicy = batch.ConstantBackoff(time.Hour)
			c.Queues[0].Concurrency, c.Queues[0].Prefetch = 2, batch.NoPrefetch
		})
		batch.Handle(r.worker, func(_ context.Context, job *batch.Job[task]) error {
			if job.Args.N < 2 {
				return errors.New("later")
			}
			return nil
		})
		r.enqueue(t, task{0})
		r.start(t)
		<-r.events.ended // its settlement is under way
		start := time.Now()
		for n := range 100 {
			r.enqueue(t, task{n + 2})
			<-r.events.ended
		}
		synctest.Wait()
		if took := time.Since(start); took > time.Second {
			t.Errorf("100 jobs that are done took %s behind a retry that gets no answer", took)
		}
		r.enqueue(t, task{1})
		<-r.events.ended
		time.Sleep(3 * time.Second)
		if left := depth(t, r.queue); left.Scheduled != 1 || left.Running != 1 {
			t.Errorf("left = %+v, want the second retry stored and the first held", left)
		}
		time.Sleep(time.Minute)
		r.stop(t)
	})
}

// Neighbours of a settlement that is refused are not sent again, and what is refused waits
// longer each time.
func TestRefusedSettlementsBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		var mu sync.Mutex
		sent := make(map[string]int)
		d.onSettleEach = func(s *driver.Settlement) error {
			mu.Lock()
			defer mu.Unlock()
			sent[string(s.Delivery.Body)]++
			if string(s.Delivery.Body) == `{"N":0}` {
				return full
			}
			return nil
		}
		r := newRig(t, d, func(c *batch.WorkerConfig) { c.SettleTimeout = 60 * time.Second })
		batch.Handle(r.worker, func(_ context.Context, job *batch.Job[task]) error { return batch.Snooze(time.Hour) })
		for n := range 10 {
			r.enqueue(t, task{n})
		}
		r.start(t)
		for range 10 {
			<-r.events.ended
		}
		time.Sleep(50 * time.Second)
		mu.Lock()
		for body, n := range sent {
			if body != `{"N":0}` && n != 1 {
				t.Errorf("%s was settled %d times", body, n)
			}
		}
		// 50 ms doubled up to 5 s, of which half is drawn, and rounded up to a second.
		if n := sent[`{"N":0}`]; n < 12 || n > 30 {
			t.Errorf("%d tries in 50 s of what is refused, want 12 to 30", n)
		}
		mu.Unlock()
		d.mended.Store(true)
		r.stop(t)
	})
}

// While the broker takes nothing, the number of requests does not grow with that of the
// jobs that wait.
func TestRequestsWhileNothingIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.refuse(full, func(*driver.Settlement) bool { return true })
		r := newRig(t, d, func(c *batch.WorkerConfig) { c.Queues[0].Concurrency, c.Queues[0].Prefetch = 200, 100 })
		batch.Handle(r.worker, func(_ context.Context, job *batch.Job[task]) error {
			time.Sleep(time.Duration(job.Args.N) * time.Millisecond) // all end on their own
			return nil
		})
		for n := range 200 {
			r.enqueue(t, task{n})
		}
		r.start(t)
		for range 200 {
			<-r.events.ended
		}
		time.Sleep(10 * time.Second)
		before := settlesOf(d)
		time.Sleep(20 * time.Second)
		if n := settlesOf(d) - before; n > 2*20 {
			t.Errorf("%d requests in 20 s for 200 jobs, want at most two a second", n)
		}
		r.events.mu.Lock()
		jobs := 0
		for _, f := range r.events.faults {
			jobs = max(jobs, f.Jobs)
		}
		if jobs < 20 {
			t.Errorf("the largest fault is about %d jobs of 200, want those that wait together", jobs)
		}
		r.events.mu.Unlock()
		d.mended.Store(true)
		r.stop(t)
	})
}

// settlesOf is the number of settle calls until now.
func settlesOf(d *scripted) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.settles
}

// What is given up is given back, when the time is over, when the driver was closed, and
// when the worker stops before that.
func TestWhatIsGivenUpIsAbandoned(t *testing.T) {
	for name, test := range map[string]struct {
		refusal error
		after   time.Duration // until it is given up
		stop    bool
	}{
		"timeout": {full, 20 * time.Second, false},
		"closed":  {driver.ErrClosed, 0, false},
		"stop":    {full, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newScripted()
				d.refuse(test.refusal, func(s *driver.Settlement) bool { return string(s.Delivery.Body) != `{"N":9}` })
				r := newRig(t, d, func(c *batch.WorkerConfig) {
					c.Queues[0].Concurrency, c.Queues[0].Prefetch = 2, batch.NoPrefetch
					c.Queues[0].Lease = time.Hour
					c.SettleTimeout = 20 * time.Second
				})
				batch.Handle(r.worker, func(_ context.Context, job *batch.Job[task]) error { return batch.Snooze(time.Hour) })
				ids := []string{r.enqueue(t, task{0}), r.enqueue(t, task{1})}
				r.start(t)
				<-r.events.ended
				<-r.events.ended
				start := time.Now()
				if test.stop {
					if err := r.worker.Stop(t.Context()); err == nil {
						t.Error("Stop = nil, want an error that counts the jobs")
					}
				} else {
					// Both permits are held until then.
					r.enqueue(t, task{9})
					if end := <-r.events.ended; end.Job.Deliveries != 1 {
						t.Errorf("delivery %d, want that of another job", end.Job.Deliveries)
					}
					if took := time.Since(start); took < test.after*8/10 || took > test.after+time.Second {
						t.Errorf("given up after %s, want %s", took, test.after)
					}
					// Two that were settled apart are given up apart.
					time.Sleep(time.Until(start.Add(test.after + time.Second)))
					synctest.Wait()
				}
				d.mu.Lock()
				got := slices.Sorted(slices.Values(d.abandoned))
				d.mu.Unlock()
				if want := slices.Sorted(slices.Values(ids)); !slices.Equal(got, want) {
					t.Errorf("abandoned %v, want %v", got, want)
				}
				if !test.stop {
					r.stop(t)
				}
			})
		})
	}
}

// What the application does not let go of is given up too when the worker ends.
func TestWhatIsHeldAtTheEndIsAbandoned(t *testing.T) {
	d := newScripted()
	r := newRig(t, d, func(c *batch.WorkerConfig) { c.StopTimeout = 50 * time.Millisecond })
	hanging, release := make(chan struct{}), make(chan struct{})
	batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return errors.New("again") },
		batch.HandleRetry(batch.RetryFunc(func(int, error) time.Duration {
			close(hanging)
			<-release
			return 0
		})))
	id := r.enqueue(t, task{})
	r.start(t)
	<-hanging
	if err := r.worker.Stop(t.Context()); err == nil {
		t.Error("Stop = nil, want an error that counts the job")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.abandoned, []string{id}) {
		t.Errorf("abandoned %v, want %s", d.abandoned, id)
	}
	close(release)
}

// A driver whose answers to a settle are too few has not confirmed the rest.
func TestTooFewAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.onSettle = func(n int, s []driver.Settlement) ([]error, bool) {
			if n == 1 {
				return []error{}, false
			}
			return nil, false
		}
		r := newRig(t, d, nil)
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return nil })
		r.enqueue(t, task{})
		r.start(t)
		<-r.events.ended
		r.stop(t)
		if left := depth(t, r.queue); settlesOf(d) != 2 || left != (batch.Depth{}) {
			t.Errorf("%d settles and %+v, want a second one that leaves nothing", settlesOf(d), left)
		}
	})
}

// A stop that ends the settling says of no job that it will be settled later.
func TestNothingIsTriedAgainAfterTheStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		r := newRig(t, d, nil)
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error {
			d.hangs.Store(true) // the settlement gets no answer before the stop gives up
			return nil
		})
		r.enqueue(t, task{})
		r.start(t)
		<-r.events.ended
		if err := r.worker.Stop(t.Context()); err == nil {
			t.Error("Stop = nil, want an error that counts the job")
		}
		r.events.mu.Lock()
		defer r.events.mu.Unlock()
		given := 0
		for _, f := range r.events.faults {
			if f.Op == batch.OpSettle && f.RetryIn != 0 {
				t.Errorf("a settlement is tried again in %s", f.RetryIn)
			}
			if f.Op == batch.OpSettle {
				given++
			}
		}
		if given != 1 {
			t.Errorf("given up %d times, want once", given)
		}
	})
}

// The log of a worker whose broker takes no retries for a while, and goes on taking what is
// done, has one line for the beginning of that and one for its end.
func TestLogWhileOnlyStoringFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, book := newScripted(), &logbook{}
		d.refuse(unavailable(driver.FateNotStored), func(s *driver.Settlement) bool { return s.Outcome != driver.OutcomeDone })
		r := newRig(t, d, func(c *batch.WorkerConfig) {
			c.Log, c.SettleTimeout = book.logger(slog.LevelInfo), time.Hour
		})
		batch.Handle(r.worker, func(_ context.Context, job *batch.Job[task]) error {
			if job.Args.N == 0 {
				return batch.Snooze(time.Hour)
			}
			return nil
		})
		r.enqueue(t, task{0})
		r.start(t)
		for range 80 {
			r.enqueue(t, task{1})
			time.Sleep(250 * time.Millisecond)
		}
		d.mended.Store(true)
		for range 60 {
			r.enqueue(t, task{1})
			time.Sleep(250 * time.Millisecond)
		}
		r.stop(t)
		matchLines(t, book.lines(), `t=0s .*worker running.*`, `t=0s .*broker lost.*op=settle.*`, `t=2\ds .*broker is back.*`,
			`t=35s .*worker draining.*`, `t=35s .*worker stopped.*`)
	})
}

// An outage is over a second after the settlement that failed was taken.
func TestLogOfOneFailedSettlement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, book := newScripted(), &logbook{}
		d.onSettle = func(n int, s []driver.Settlement) ([]error, bool) {
			if n == 1 {
				return sameError(s, unavailable(driver.FateNotStored)), false
			}
			return nil, false
		}
		r := newRig(t, d, func(c *batch.WorkerConfig) { c.Log = book.logger(slog.LevelInfo) })
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return nil })
		r.enqueue(t, task{})
		r.start(t)
		time.Sleep(20 * time.Second)
		r.stop(t)
		matchLines(t, book.lines(), `t=0s .*worker running.*`, `t=0s .*broker lost.*op=settle.*`, `t=[1-3]s .*broker is back.*`,
			`t=20s .*worker draining.*`, `t=20s .*worker stopped.*`)
	})
}
