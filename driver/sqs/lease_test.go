package sqs

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
)

// SQS would delete a job by a handle whose lease has ended; the driver says that
// the lease is lost, and asks nobody.
func TestLeaseEndsByOwnClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := f.open(t)
		defer closeAll(t, d)
		put(t, d, job("job", 0))
		c := consume(t, d, 2*time.Second)
		first := receive(t, c)
		time.Sleep(2 * time.Second)
		for _, outcome := range []driver.Outcome{driver.OutcomeDone, driver.OutcomeRetry, driver.OutcomeRelease, driver.OutcomeDead} {
			errs := c.Settle(t.Context(), []driver.Settlement{{Delivery: first, Outcome: outcome}})
			if len(errs) != 1 || !errors.Is(errs[0], driver.ErrLeaseLost) {
				t.Errorf("%s after the lease: %v", outcome, errs)
			}
		}
		if errs := c.Extend(t.Context(), []*driver.Delivery{first}); len(errs) != 1 || !errors.Is(errs[0], driver.ErrLeaseLost) {
			t.Errorf("extend after the lease: %v", errs)
		}
		if n := f.count("DeleteMessageBatch") + f.count("ChangeMessageVisibilityBatch"); n != 0 {
			t.Errorf("%d requests were made", n)
		}
		second := receive(t, c)
		if second.Redeliveries != 1 {
			t.Errorf("Redeliveries %d, want 1", second.Redeliveries)
		}
		settle(t, c, driver.Settlement{Delivery: second, Outcome: driver.OutcomeDone})
	})
}

// An extended lease ends at SQS's twelve hours, and the error says why.
func TestExtendUntilTwelveHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := f.open(t)
		defer closeAll(t, d)
		put(t, d, job("job", 0))
		c := consume(t, d, time.Minute)
		held := []*driver.Delivery{receive(t, c)}
		begin := time.Now()
		for {
			time.Sleep(30 * time.Second)
			errs := c.Extend(t.Context(), held)
			if errs == nil {
				continue
			}
			var e *driver.Error
			if !errors.As(errs[0], &e) || e.Kind != driver.ErrBroker || e.Hint == "" {
				t.Errorf("the error is %v", errs[0])
			}
			break
		}
		if took := time.Since(begin); took < 11*time.Hour+58*time.Minute || took > 12*time.Hour {
			t.Errorf("the lease was extended for %s", took)
		}
	})
}
