package memory

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
)

func TestLeaseEndsByTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		r.add("a")
		first := r.get(1, "a")[0]
		r.history(first, 0, 1, 0)
		start := time.Now()
		second := r.get(1, "a")[0]
		if waited := time.Since(start); waited != testLease {
			t.Fatalf("the job came after %s, want %s", waited, testLease)
		}
		r.history(second, 0, 2, 1)
		r.is(r.settle(first, driver.Settlement{Outcome: driver.OutcomeDone}), driver.ErrLeaseLost)
		r.depth(0, 0, 1, 0)
		r.end(second, driver.OutcomeDone)
		r.is(r.settle(second, driver.Settlement{Outcome: driver.OutcomeRetry}), driver.ErrLeaseLost)
		r.depth(0, 0, 0, 0)
	})
}

// A lease that ended is lost at once, also if nobody else has asked since.
func TestLeaseIsLostWithoutRival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		r.add("a")
		d := r.get(1, "a")[0]
		time.Sleep(testLease - 1)
		r.depth(0, 0, 1, 0)
		time.Sleep(1 * time.Nanosecond)
		r.depth(1, 0, 0, 0)
		errs := r.c.Extend(t.Context(), []*driver.Delivery{d})
		if len(errs) != 1 {
			t.Fatalf("%d errors, want 1", len(errs))
		}
		r.is(errs[0], driver.ErrLeaseLost)
		r.is(r.settle(d, driver.Settlement{Outcome: driver.OutcomeDead}), driver.ErrLeaseLost)
		r.depth(1, 0, 0, 0)
	})
}

func TestExtendRenews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		r.add("a")
		r.add("b")
		got := r.get(2, "a", "b")
		for range 5 {
			time.Sleep(testLease * 3 / 4)
			if errs := r.c.Extend(t.Context(), got[:1]); errs != nil {
				t.Fatal(errs)
			}
		}
		r.depth(1, 0, 1, 0)
		r.get(1, "b")
		r.end(got[0], driver.OutcomeDone)
	})
}

// Consumers may have leases of different lengths on one queue.
func TestLeasesOfDifferentLengths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		r.add("long")
		r.add("short")
		r.get(1, "long")
		short := r.consume(time.Second)
		if _, err := short.Receive(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		r.get(1, "short")
		if waited := time.Since(start); waited != time.Second {
			t.Fatalf("waited %s, want 1s", waited)
		}
		r.ok(short.Close(t.Context()))
		if n := len(r.d.broker.queue("q").running.lists); n != 1 {
			t.Fatalf("%d lengths of lease are kept, want 1", n)
		}
	})
}

// A closed consumer's deliveries stay leased, as their handlers may still run.
func TestCloseKeepsLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		r.add("a")
		d := r.get(1, "a")[0]
		r.ok(r.c.Close(t.Context()))
		r.ok(r.c.Close(t.Context()))
		r.is(r.settle(d, driver.Settlement{Outcome: driver.OutcomeDone}), driver.ErrClosed)
		r.is(r.c.Extend(t.Context(), []*driver.Delivery{d})[0], driver.ErrClosed)
		r.depth(0, 0, 1, 0)
		r.c = r.consume(time.Minute)
		start := time.Now()
		r.history(r.get(1, "a")[0], 0, 2, 1)
		if waited := time.Since(start); waited != testLease {
			t.Fatalf("waited %s, want %s", waited, testLease)
		}
	})
}

func TestOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		r.add("a")
		r.add("b")

		// Release gives the job its place and its history back.
		d := r.get(1, "a")[0]
		r.end(d, driver.OutcomeRelease)
		d = r.get(1, "a")[0]
		r.history(d, 0, 2, 0)

		// Retry holds it back, not a nanosecond less.
		r.ok(r.settle(d, driver.Settlement{Outcome: driver.OutcomeRetry, Delay: time.Minute, Failures: 1, Error: "oops"}))
		r.depth(1, 1, 0, 0)
		r.end(r.get(2, "b")[0], driver.OutcomeDone)
		start := time.Now()
		d = r.get(1, "a")[0]
		if waited := time.Since(start); waited != time.Minute {
			t.Fatalf("the retry came after %s, want 1m", waited)
		}
		r.history(d, 1, 3, 0)
		if d.LastError != "oops" {
			t.Fatalf("last error %q", d.LastError)
		}

		// Without delay it goes to the end.
		r.add("c")
		r.ok(r.settle(d, driver.Settlement{Outcome: driver.OutcomeRetry, Failures: 2, Error: "again"}))
		got := r.get(2, "c", "a")
		r.end(got[0], driver.OutcomeDone)

		r.ok(r.settle(got[1], driver.Settlement{Outcome: driver.OutcomeDead, Failures: 3, Error: "last", Reason: driver.ReasonAttempts}))
		r.depth(0, 0, 0, 1)
		dead, next, err := r.d.DeadLetters(t.Context(), "q", "", 10)
		r.ok(err)
		if len(dead) != 1 || next != "" {
			t.Fatalf("%d dead letters, next %q", len(dead), next)
		}
		if x := dead[0]; x.ID != "a" || x.Failures != 3 || x.LastError != "last" || x.Deliveries != 4 ||
			x.Reason != driver.ReasonAttempts || !x.DeadAt.Equal(time.Now()) || string(x.Body) != "a" {
			t.Fatalf("dead letter %+v", x)
		}
	})
}

// One call settles in many ways; the errors say which failed.
func TestSettleMixed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		for _, id := range []string{"a", "b", "c", "d", "e", "f"} {
			r.add(id)
		}
		g := r.get(10, "a", "b", "c", "d", "e", "f")
		errs := r.c.Settle(t.Context(), []driver.Settlement{
			{Delivery: g[0], Outcome: driver.OutcomeDone},
			{Delivery: g[0], Outcome: driver.OutcomeDone},
			{Delivery: g[1], Outcome: driver.OutcomeDead, Reason: driver.ReasonExpired},
			{Delivery: g[2], Outcome: driver.OutcomeRetry, Delay: time.Second},
			{Delivery: g[3], Outcome: driver.OutcomeRelease},
			{Delivery: g[4], Outcome: 99},
			{Delivery: g[5], Outcome: driver.OutcomeRetry, Delay: maxDelay + 1},
			{Delivery: &driver.Delivery{Receipt: "foreign"}, Outcome: driver.OutcomeDone},
			{Outcome: driver.OutcomeDone},
		})
		for i, want := range []error{nil, driver.ErrLeaseLost, nil, nil, nil, driver.ErrConfig, driver.ErrConfig, driver.ErrLeaseLost, driver.ErrLeaseLost} {
			if want == nil {
				r.ok(errs[i])
			} else {
				r.is(errs[i], want)
			}
		}
		r.depth(1, 1, 2, 1)
	})
}

// A delivery is the caller's: what it does to it does not reach the broker.
func TestDeliveryBelongsToCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		m := message("a")
		m.Headers = map[string]string{"h": "v"}
		batch := []*driver.Message{m}
		r.d.Enqueue(t.Context(), "q", batch)
		m.ID, m.Headers, batch[0] = "changed", nil, nil
		d := r.get(1, "a")[0]
		if d.Headers["h"] != "v" {
			t.Fatalf("headers %v", d.Headers)
		}
		copied := *d
		d.ID, d.Body, d.Deliveries = "changed", nil, 77
		r.end(&copied, driver.OutcomeRelease)
		r.history(r.get(1, "a")[0], 0, 2, 0)
	})
}

// A delivery is one of its queue: another queue's consumer does not have it.
func TestSettleOnAnotherQueue(t *testing.T) {
	r := newRig(t, Options{})
	r.ok(r.d.Declare(t.Context(), "other"))
	r.add("a")
	d := r.get(1, "a")[0]
	other, err := r.d.Consume(t.Context(), "other", driver.ConsumeOptions{Lease: testLease})
	r.ok(err)
	r.is(other.Settle(t.Context(), []driver.Settlement{{Delivery: d, Outcome: driver.OutcomeDone}})[0], driver.ErrLeaseLost)
	r.is(other.Extend(t.Context(), []*driver.Delivery{d})[0], driver.ErrLeaseLost)
	r.depth(0, 0, 1, 0)
	// Another consumer of its own queue does.
	second := r.consume(time.Minute)
	if errs := second.Settle(t.Context(), []driver.Settlement{{Delivery: d, Outcome: driver.OutcomeDone}}); errs != nil {
		t.Fatal(errs)
	}
	r.depth(0, 0, 0, 0)
}

// A dead letter that is stripped has no headers, and the room that they took is free.
func TestStrippedDeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		before, _ := r.d.broker.capacity.used()
		for _, id := range []string{"whole", "stripped"} {
			r.add(id, func(m *driver.Message) { m.Headers = map[string]string{"name": "value"} })
		}
		g := r.get(2, "whole", "stripped")
		r.ok(r.settle(g[0], driver.Settlement{Outcome: driver.OutcomeDead, Reason: driver.ReasonAttempts}))
		r.ok(r.settle(g[1], driver.Settlement{Outcome: driver.OutcomeDead, Reason: driver.ReasonTooLarge, Strip: true, Error: "headers are missing"}))
		dead, _, err := r.d.DeadLetters(t.Context(), "q", "", 10)
		r.ok(err)
		if len(dead) != 2 || len(dead[0].Headers) != 1 || dead[1].Headers != nil || string(dead[1].Body) != "stripped" || dead[1].LastError != "headers are missing" {
			t.Fatalf("dead letters %+v", dead)
		}
		if g[1].Headers["name"] != "value" {
			t.Fatal("the caller's delivery lost its headers")
		}
		_, err = r.d.Discard(t.Context(), "q", driver.Selection{All: true})
		r.ok(err)
		if after, jobs := r.d.broker.capacity.used(); after != before || jobs != 0 {
			t.Fatalf("%d bytes and %d jobs are left of none", after-before, jobs)
		}
	})
}
