package memory

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
)

// receiving is the error of a Receive in the background.
func receiving(c driver.Consumer) chan error {
	out := make(chan error, 1)
	go func() {
		_, err := c.Receive(context.Background(), 1)
		out <- err
	}()
	return out
}

// Stop ends the calls that wait and those that come later, also on a queue that was
// deleted, and what was received goes on.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		r.add("a")
		r.add("b")
		held := r.get(2, "a", "b")
		waiting := receiving(r.c)
		synctest.Wait()
		for range 2 {
			r.ok(r.c.Stop(t.Context()))
		}
		r.is(<-waiting, driver.ErrClosed)
		r.add("c")
		_, err := r.c.Receive(t.Context(), 1)
		r.is(err, driver.ErrClosed)
		time.Sleep(testLease / 2)
		if errs := r.c.Extend(t.Context(), held); errs != nil {
			t.Fatal(errs)
		}
		time.Sleep(testLease / 2)
		r.end(held[0], driver.OutcomeDone)
		r.end(held[1], driver.OutcomeRelease)
		other := r.consume(testLease)
		got, err := other.Receive(t.Context(), 10)
		r.ok(err)
		if len(got) != 2 || got[0].ID != "b" || got[0].Redeliveries != 0 || got[1].ID != "c" {
			t.Fatalf("received %v", ids(got))
		}
		r.ok(r.d.DeleteQueue(t.Context(), "q"))
		r.ok(r.d.Declare(t.Context(), "q"))
		r.add("d")
		_, err = r.c.Receive(t.Context(), 1)
		r.is(err, driver.ErrClosed)
		r.ok(r.c.Close(t.Context()))
		r.ok(r.c.Stop(t.Context()))
		r.is(r.c.Settle(t.Context(), []driver.Settlement{{Delivery: held[1], Outcome: driver.OutcomeDone}})[0], driver.ErrClosed)
	})
}

// The claim of a call that Stop woke goes to the next.
func TestStopHandsItsClaimOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		first := receiving(r.c)
		synctest.Wait()
		second := background(r, t.Context(), 1, 1)
		// Under the lock, so that the call sees both when it runs.
		q := r.d.broker.queue("q")
		q.mu.Lock()
		j := newJob(message("a"), 0)
		q.capacity.reserve(j.size, 1)
		q.store(j, message("a"), q.clock.now())
		q.wake()
		q.stop(r.c.(*consumer).sub)
		q.end(q.clock.now())
		r.is(<-first, driver.ErrClosed)
		if got := <-second; got.err != nil || len(got.jobs) != 1 {
			t.Fatalf("%+v", got)
		}
	})
}
