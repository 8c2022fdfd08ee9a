package batch_test

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// Whatever a broker says of a job, it ends: it runs a bounded number of times, with an
// attempt number that is one, and the worker goes on.
func TestAbsurdDeliveriesEnd(t *testing.T) {
	for _, n := range []int{math.MinInt, -1, 0, 1000, math.MaxInt32, math.MaxInt - 1, math.MaxInt} {
		for name, distort := range map[string]func(*driver.Delivery){
			"Failures": func(d *driver.Delivery) {
				if d.Deliveries == 1 { // what never grows never ends
					d.Failures = n
				}
			},
			"MaxAttempts":  func(d *driver.Delivery) { d.MaxAttempts = n },
			"Deliveries":   func(d *driver.Delivery) { d.Deliveries = n },
			"Redeliveries": func(d *driver.Delivery) { d.Redeliveries = n },
			"Bounces":      func(d *driver.Delivery) { d.Bounces = n },
			"Timeout":      func(d *driver.Delivery) { d.Timeout = time.Duration(n) },
			"Level":        func(d *driver.Delivery) { d.Level = driver.Level(n) },
			"times": func(d *driver.Delivery) {
				at := time.UnixMilli(int64(n))
				d.EnqueuedAt, d.ExpiresAt, d.BouncedSince = at, at, at
			},
		} {
			synctest.Test(t, func(t *testing.T) {
				d := newScripted()
				d.onDelivery = distort
				r := newRig(t, d, func(c *batch.WorkerConfig) { c.RetryPolicy = batch.ConstantBackoff(math.MinInt64) })
				var mu sync.Mutex
				runs, last := 0, 0
				batch.Handle(r.worker, func(_ context.Context, job *batch.Job[task]) error {
					mu.Lock()
					defer mu.Unlock()
					if job.Attempt < 1 || job.MaxAttempts < 1 || job.Deliveries < 1 || job.Timeout < time.Millisecond {
						t.Errorf("%s %d: attempt %d of %d, delivery %d, timeout %s", name, n, job.Attempt, job.MaxAttempts, job.Deliveries, job.Timeout)
					}
					if runs++; job.Attempt != last+1 && name != "Failures" {
						t.Errorf("%s %d: attempt %d after %d", name, n, job.Attempt, last)
					}
					last = job.Attempt
					return errors.New("again")
				})
				r.enqueue(t, task{})
				r.start(t)
				for {
					if end := <-r.events.ended; end.Verdict.Outcome == batch.OutcomeDead {
						break
					}
				}
				mu.Lock()
				if runs > 1000 {
					t.Errorf("%s %d: %d runs", name, n, runs)
				}
				mu.Unlock()
				r.stop(t)
			})
		}
	}
}

// A driver that hands out more than it was asked for, nothing at all without an error, or a
// delivery that is none does not harm the worker.
func TestReceivesThatBreakTheContract(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.onReceived = func(call int, got []*driver.Delivery) ([]*driver.Delivery, error) {
			return append(got, nil), nil
		}
		d.emptyFirst = true
		d.asks = 5 // however many the worker has permits for
		r := newRig(t, d, func(c *batch.WorkerConfig) { c.Queues[0].Concurrency, c.Queues[0].Prefetch = 1, batch.NoPrefetch })
		var running, most int
		batch.Handle(r.worker, func(_ context.Context, job *batch.Job[task]) error {
			running++
			most = max(most, running)
			time.Sleep(time.Second)
			running--
			return nil
		})
		for n := range 20 {
			r.enqueue(t, task{n})
		}
		r.start(t)
		for range 20 {
			<-r.events.ended
		}
		synctest.Wait()
		if left := depth(t, r.queue); most != 1 || left != (batch.Depth{}) {
			t.Errorf("%d ran at once and %+v is left, want one and nothing", most, left)
		}
		if ops := r.events.faultOps(); len(ops) != 1 || ops[0] != "receive" {
			t.Errorf("faults %v, want that of the empty answer", ops)
		}
		d.mu.Lock()
		// One request for five jobs is not followed by others before they are settled.
		if d.receives > 12 {
			t.Errorf("%d receives for 20 jobs, five at a time", d.receives)
		}
		d.mu.Unlock()
		r.stop(t)
	})
}

// Answers of a driver that are too few are not taken for success, and do not panic.
func TestAnswersThatAreTooFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.onEnqueue = func(int, []*driver.Message) ([]driver.Result, bool) { return []driver.Result{}, true }
		q := batch.NewQueue(d, "tasks")
		if _, err := q.Enqueue(t.Context(), task{}); !errors.Is(err, batch.ErrBroker) {
			t.Errorf("Enqueue = %v, want ErrBroker", err)
		}
		results, err := q.EnqueueMany(t.Context(), []batch.Request[*scripted]{{Args: task{}}, {Args: task{}}})
		var many *batch.ManyError
		if !errors.As(err, &many) || many.MaybeStored != 2 || results[1].Err == nil {
			t.Errorf("EnqueueMany = %v, want two that may be stored", err)
		}
		d.onEnqueue = nil
		d.onExtend = func(int, []*driver.Delivery) []error { return []error{} }
		r := newRig(t, d, nil)
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { time.Sleep(12 * time.Second); return nil })
		r.enqueue(t, task{})
		r.start(t)
		<-r.events.ended
		r.stop(t)
		if ops := r.events.faultOps(); len(ops) == 0 || ops[0] != "extend" {
			t.Errorf("faults %v, want those of the extensions", ops)
		}
	})
}

// unlimited is a driver whose limits are not set.
type unlimited struct{ *memory.Driver }

func (d unlimited) Info() driver.Info {
	info := d.Driver.Info()
	info.Limits.ReceiveBatch = 0
	return info
}

// A driver without limits is refused when it is used first.
func TestLimitsThatAreNotSet(t *testing.T) {
	d := unlimited{memory.New()}
	if _, err := batch.TryNewQueue(d, "tasks"); !errors.Is(err, batch.ErrInvalid) {
		t.Errorf("TryNewQueue = %v, want ErrInvalid", err)
	}
	if _, err := batch.TryNewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "tasks"}}}); !errors.Is(err, batch.ErrInvalid) {
		t.Errorf("TryNewWorker = %v, want ErrInvalid", err)
	}
}
