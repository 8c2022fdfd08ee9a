package sqs

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
)

// holding is a consumer that has just deleted a job, has others, and waits for more: what is
// done now is held.
type holding struct {
	fake *fakeSQS
	*Driver
	c    *consumer
	held []driver.Settlement
}

// newHolding makes one with n jobs, whose leases are of that age. It waits for so many more.
func newHolding(t *testing.T, lease, age time.Duration, n, more int) *holding {
	h := &holding{fake: newFake()}
	h.Driver = h.fake.open(t)
	h.c = consume(t, h.Driver, lease)
	for range n + 1 {
		put(t, h, job("job", 0))
		got, err := h.c.Receive(t.Context(), 10)
		if err != nil || len(got) != 1 {
			t.Fatalf("%d jobs, %v", len(got), err)
		}
		h.held = append(h.held, driver.Settlement{Delivery: got[0], Outcome: driver.OutcomeDone})
	}
	time.Sleep(age)
	if more > 0 {
		h.receiveMore(more)
	}
	if errs, took := h.settle(t.Context(), h.held[:1]); errs != nil || took != 0 {
		t.Fatalf("a job that ends alone was deleted after %s, %v", took, errs)
	}
	h.held = h.held[1:]
	return h
}

// receiveMore has Receive wait for n jobs.
func (h *holding) receiveMore(n int) {
	go func() { _, _ = h.c.Receive(context.Background(), n) }()
	synctest.Wait()
}

// settle settles and measures how long that takes.
func (h *holding) settle(ctx context.Context, s []driver.Settlement) ([]error, time.Duration) {
	begin := time.Now()
	errs := h.c.Settle(ctx, s)
	return errs, time.Since(begin)
}

// What is done is held for a while where that may save requests, and no longer than it may.
func TestHold(t *testing.T) {
	const soon = 100 * time.Millisecond
	for name, test := range map[string]struct {
		lease, age time.Duration
		n, more    int
		// before is done before the call, and meanwhile begins beside it, soon.
		before, meanwhile func(t *testing.T, h *holding)
		deadline          time.Duration // of the call's ctx, if any
		want              time.Duration
	}{
		"others may come":     {n: 1, more: 10, want: holdTime},
		"a full request":      {n: maxEntries, more: 10},
		"nobody waits":        {n: 1, want: holdMoment},
		"little room":         {n: 1, more: 1, want: holdMoment},
		"a short lease":       {n: 1, more: 10, lease: time.Second, want: 130 * time.Millisecond},
		"a lease in its end":  {n: 1, more: 10, age: 16 * time.Second},
		"a ctx that ends":     {n: 1, more: 10, deadline: 4 * soon, want: soon},
		"long after the last": {n: 1, more: 10, before: func(*testing.T, *holding) { time.Sleep(holdTime) }},
		"a retry":             {n: 1, more: 10, before: func(_ *testing.T, h *holding) { h.held[0].Outcome = driver.OutcomeRetry }},
		"more than a trickle": {n: 1, more: 4, before: func(t *testing.T, h *holding) {
			put(t, h, job("more", 0), job("more", 0), job("more", 0), job("more", 0))
			synctest.Wait()
			h.receiveMore(10)
		}},
		"a slower trickle": {n: 1, more: 10, before: func(t *testing.T, h *holding) {
			time.Sleep(holdTime * 3 / 4)
			put(t, h, job("more", 0))
			synctest.Wait()
			h.receiveMore(10)
		}},
		"others fill the next": {n: 1, more: 10, want: soon, meanwhile: func(t *testing.T, h *holding) {
			for range 3 {
				put(t, h, job("more", 0), job("more", 0), job("more", 0), job("more", 0))
				synctest.Wait()
				h.receiveMore(10)
			}
		}},
		"no more room":        {n: 1, more: 10, want: soon + holdMoment, meanwhile: func(t *testing.T, h *holding) { put(t, h, job("more", 0)) }},
		"the consumer stops":  {n: 1, more: 10, want: soon, meanwhile: func(t *testing.T, h *holding) { _ = h.c.Stop(t.Context()) }},
		"the consumer closes": {n: 1, more: 10, want: soon, meanwhile: func(t *testing.T, h *holding) { _ = h.c.Close(t.Context()) }},
		"the driver closes":   {n: 1, more: 10, want: soon, meanwhile: func(t *testing.T, h *holding) { _ = h.Close(t.Context()) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if test.lease == 0 {
					test.lease = 30 * time.Second
				}
				h := newHolding(t, test.lease, test.age, test.n, test.more)
				defer closeAll(t, h)
				if test.before != nil {
					test.before(t, h)
				}
				if test.meanwhile != nil {
					time.AfterFunc(soon-time.Millisecond, func() { test.meanwhile(t, h) })
				}
				ctx := t.Context()
				if test.deadline > 0 {
					bounded, cancel := context.WithTimeout(ctx, test.deadline)
					defer cancel()
					ctx = bounded
				}
				errs, took := h.settle(ctx, h.held)
				if errs != nil || took > test.want || took < test.want-holdStep {
					t.Errorf("the call took %s, want %s: %v", took, test.want, errs)
				}
			})
		})
	}
}

// A call whose ctx ends while it holds has deleted nothing, and the delivery is still held. So it is
// with one that has found no room and is about to look again.
func TestHoldUntilContextEnds(t *testing.T) {
	for end, more := range map[time.Duration]int{55 * time.Millisecond: 10, holdMoment / 2: 0} {
		synctest.Test(t, func(t *testing.T) {
			h := newHolding(t, 30*time.Second, 0, 1, more)
			defer closeAll(t, h)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(end, cancel)
			deletes := h.fake.count("DeleteMessageBatch")
			errs, took := h.settle(ctx, h.held)
			if len(errs) != 1 || !errors.Is(errs[0], context.Canceled) || driver.FateOf(errs[0]) != driver.FateNotStored || took != end {
				t.Errorf("after %s of %s: %v", took, end, errs)
			}
			if n := h.fake.count("DeleteMessageBatch") - deletes; n != 0 {
				t.Errorf("%d requests were made", n)
			}
			if errs, _ := h.settle(t.Context(), h.held); errs != nil {
				t.Errorf("settled again: %v", errs)
			}
		})
	}
}

// A consumer that gathers does not poll when it stops.
func TestStopWhileGathering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d, err := New(t.Context(), f.client(), Options{Gather: maxGather})
		if err != nil {
			t.Fatal(err)
		}
		defer closeAll(t, d)
		if err := d.Declare(t.Context(), "q"); err != nil {
			t.Fatal(err)
		}
		c := consume(t, d, 30*time.Second)
		time.AfterFunc(100*time.Millisecond, func() { put(t, d, job("job", 0)) })
		if got, err := c.Receive(t.Context(), 10); err != nil || len(got) != 1 {
			t.Fatalf("%d jobs, %v", len(got), err)
		}
		ended := make(chan error, 1)
		go func() {
			_, err := c.Receive(t.Context(), 10)
			ended <- err
		}()
		synctest.Wait()
		begin := time.Now()
		if err := c.Stop(t.Context()); err != nil || time.Since(begin) != 0 {
			t.Errorf("Stop: %v after %s", err, time.Since(begin))
		}
		if err := <-ended; !errors.Is(err, driver.ErrClosed) {
			t.Errorf("Receive: %v", err)
		}
		if n := f.count("ReceiveMessage"); n != 1 {
			t.Errorf("%d polls, want 1", n)
		}
	})
}
