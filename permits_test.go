package batch_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// A job whose lease is lost gives its permit back, however it was lost: while it ran, in the
// buffer, and when it was settled. With one permit or two the next job would never come.
func TestLostLeasesGivePermitsBack(t *testing.T) {
	for name, prepare := range map[string]func(*scripted, *batch.WorkerConfig){
		"running": func(d *scripted, c *batch.WorkerConfig) {
			d.onExtend = func(n int, l []*driver.Delivery) []error {
				if n == 1 {
					return sameError(l, driver.ErrLeaseLost)
				}
				return nil
			}
		},
		"in the buffer": func(d *scripted, c *batch.WorkerConfig) {
			c.Queues[0].Prefetch = 1
			d.onExtend = func(n int, l []*driver.Delivery) []error {
				if n == 1 {
					return sameError(l, driver.ErrLeaseLost)
				}
				return nil
			}
		},
		"when it was settled": func(d *scripted, c *batch.WorkerConfig) {
			d.onSettle = func(n int, s []driver.Settlement) ([]error, bool) {
				if n == 1 {
					return sameError(s, driver.ErrLeaseLost), true
				}
				return nil, false
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newScripted()
				r := newRig(t, d, func(c *batch.WorkerConfig) {
					c.Queues[0].Concurrency, c.Queues[0].Prefetch, c.Queues[0].Lease = 1, batch.NoPrefetch, 30*time.Second
					prepare(d, c)
				})
				batch.Handle(r.worker, func(ctx context.Context, job *batch.Job[task]) error {
					if job.Args.N < 2 && name != "when it was settled" && job.Deliveries == 1 {
						<-ctx.Done()
						return ctx.Err()
					}
					return nil
				})
				for n := range 4 {
					r.enqueue(t, task{n})
				}
				r.start(t)
				for done := make(map[string]bool); len(done) < 3; {
					select {
					case end := <-r.events.ended:
						done[end.Job.ID] = true
					case <-time.After(time.Hour):
						t.Fatal("nothing comes any more")
					}
				}
				if r.events.leasesLost() == 0 {
					t.Error("no lease was reported lost")
				}
				time.Sleep(time.Hour)
				r.stop(t)
				if left := depth(t, r.queue); left != (batch.Depth{}) {
					t.Errorf("left = %+v, want nothing", left)
				}
			})
		})
	}
}

// A snooze is not a failure, and keeps the text of the last one.
func TestSnoozeKeepsTheLastError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newScripted(), func(c *batch.WorkerConfig) { c.RetryPolicy = batch.ConstantBackoff(time.Second) })
		var texts []string
		batch.Handle(r.worker, func(_ context.Context, job *batch.Job[task]) error {
			texts = append(texts, job.LastError)
			switch len(texts) {
			case 1:
				return errors.New("boom")
			case 2:
				return batch.Snooze(time.Second)
			}
			return nil
		})
		r.enqueue(t, task{})
		r.start(t)
		for range 3 {
			<-r.events.ended
		}
		r.stop(t)
		if len(texts) != 3 || texts[1] != "boom" || texts[2] != "boom" {
			t.Errorf("the last errors were %q, want boom after the failure and after the snooze", texts)
		}
	})
}
