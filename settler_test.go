package batch_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// A settlement that fails is tried again, and the job's handler is not.
func TestSettlementsAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.onSettle = func(n int, s []driver.Settlement) ([]error, bool) {
			if n <= 3 {
				return sameError(s, unavailable(driver.FateNotStored)), false
			}
			return nil, false
		}
		r := newRig(t, d, nil)
		runs := 0
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { runs++; return nil })
		r.enqueue(t, task{})
		r.start(t)
		<-r.events.ended
		r.stop(t)
		if runs != 1 || d.settles != 4 {
			t.Errorf("%d runs, %d settlements; want 1 and 4", runs, d.settles)
		}
		if left := depth(t, r.queue); left != (batch.Depth{}) {
			t.Errorf("left = %+v, want nothing", left)
		}
	})
}

// The answer to a settlement that was carried out is lost: the next try is told
// that the lease is, and that is no loss to report.
func TestSettlementWhoseAnswerWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.onSettle = func(n int, s []driver.Settlement) ([]error, bool) {
			if n == 1 {
				return sameError(s, unavailable(driver.FateUnknown)), true
			}
			return nil, false
		}
		r := newRig(t, d, func(c *batch.WorkerConfig) { c.RetryPolicy = batch.ConstantBackoff(time.Hour) })
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return errors.New("boom") })
		r.enqueue(t, task{})
		r.start(t)
		<-r.events.ended
		r.stop(t)
		if r.events.leasesLost() != 0 {
			t.Error("a lease was reported lost")
		}
		if left := depth(t, r.queue); left.Scheduled != 1 || left.Waiting != 0 {
			t.Errorf("left = %+v, want exactly one retry", left)
		}
	})
}

// If the broker never takes the settlement, the job is handed out again when its
// lease ends, and the worker's permits are not used up.
func TestSettlementIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		start := time.Now()
		d.onSettle = func(_ int, s []driver.Settlement) ([]error, bool) {
			if s[0].Delivery.Deliveries == 1 {
				return sameError(s, unavailable(driver.FateNotStored)), false
			}
			return nil, false
		}
		r := newRig(t, d, func(c *batch.WorkerConfig) {
			c.Queues[0].Concurrency, c.Queues[0].Prefetch, c.Queues[0].Lease = 1, batch.NoPrefetch, 3*time.Second
			c.SettleTimeout = 20 * time.Second
		})
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return nil })
		r.enqueue(t, task{})
		r.start(t)
		<-r.events.ended
		again := <-r.events.ended
		if took := time.Since(start); took < 15*time.Second || took > 30*time.Second || again.Job.Deliveries != 2 {
			t.Errorf("delivery %d after %s, want the second, one lease after the settlement was given up", again.Job.Deliveries, took)
		}
		r.stop(t)
		if left := depth(t, r.queue); left != (batch.Depth{}) {
			t.Errorf("left = %+v, want nothing", left)
		}
	})
}

// What is stored of an error is bounded, and valid UTF-8 even if cut in a rune.
func TestErrorTextIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memory.New(), nil)
		batch.Handle(r.worker, func(_ context.Context, job *batch.Job[task]) error {
			if job.Args.N == 0 {
				return batch.Permanent(errors.New(strings.Repeat("\u20ac", 5000)))
			}
			return batch.Permanent(errors.New("bad \xff byte"))
		})
		r.enqueue(t, task{0})
		r.enqueue(t, task{1})
		r.start(t)
		<-r.events.ended
		<-r.events.ended
		r.stop(t)
		page, _, err := r.queue.DeadLetters().List(t.Context(), "", 10)
		if err != nil || len(page) != 2 {
			t.Fatalf("List = %d dead letters, %v", len(page), err)
		}
		for _, l := range page {
			if len(l.LastError) > 2048 || !utf8.ValidString(l.LastError) || l.LastError == "" {
				t.Errorf("stored %d bytes, valid %v: %.40q", len(l.LastError), utf8.ValidString(l.LastError), l.LastError)
			}
		}
	})
}
