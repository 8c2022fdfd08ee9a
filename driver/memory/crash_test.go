package memory

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
)

func TestCrashKeepsWhatIsConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		b := r.d.Broker()
		r.add("running", key("k"))
		r.add("settled")
		r.add("dead")
		r.add("released")
		g := r.get(10, "running", "settled", "dead", "released")
		r.end(g[1], driver.OutcomeDone)
		r.end(g[2], driver.OutcomeDead)
		r.end(g[3], driver.OutcomeRelease)
		r.add("scheduled", delay(time.Hour))
		r.ok(r.d.Pause(t.Context(), "q"))

		b.Crash()
		r.is(r.settle(g[0], driver.Settlement{Outcome: driver.OutcomeDone}), driver.ErrUnavailable)
		r.ok(r.d.Close(t.Context()))

		r = openRig(t, b)
		r.depth(2, 1, 0, 1)
		if paused, err := r.d.Paused(t.Context(), "q"); err != nil || !paused {
			t.Fatal("the pause is forgotten", err)
		}
		r.ok(r.d.Resume(t.Context(), "q"))
		got := r.get(10, "running", "released")
		r.history(got[0], 0, 2, 1)
		r.history(got[1], 0, 2, 0)
		// The old receipt is nothing on the new handle.
		r.is(r.settle(g[0], driver.Settlement{Outcome: driver.OutcomeDone}), driver.ErrLeaseLost)
		if !r.try("x", key("k")).Duplicate {
			t.Fatal("a key is forgotten")
		}
		for _, d := range got {
			r.end(d, driver.OutcomeDone)
		}
		start := time.Now()
		r.get(1, "scheduled")
		if after := time.Since(start); after != time.Hour {
			t.Fatalf("the delay took %s after the crash", after)
		}
	})
}

// A consumer of a crashed handle says that the handle is closed once it is.
func TestCloseAfterCrash(t *testing.T) {
	r := newRig(t, Options{})
	r.d.Broker().Crash()
	_, err := r.c.Receive(t.Context(), 1)
	r.is(err, driver.ErrUnavailable)
	r.ok(r.d.Close(t.Context()))
	_, err = r.c.Receive(t.Context(), 1)
	r.is(err, driver.ErrClosed)
	r.is(r.d.Declare(t.Context(), "q"), driver.ErrClosed)
}

func TestDeleteQueueLosesDeliveries(t *testing.T) {
	r := newRig(t, Options{})
	r.add("a")
	d := r.get(1, "a")[0]
	r.ok(r.d.DeleteQueue(t.Context(), "q"))
	r.is(r.settle(d, driver.Settlement{Outcome: driver.OutcomeDone}), driver.ErrLeaseLost)
	r.is(r.c.Extend(t.Context(), []*driver.Delivery{d})[0], driver.ErrLeaseLost)
	_, err := r.d.Depth(t.Context(), "q")
	r.is(err, driver.ErrNotFound)
	r.ok(r.d.Declare(t.Context(), "q"))
	r.depth(0, 0, 0, 0)
	// The consumer goes on with the new queue, and its old delivery is not of it.
	r.add("b")
	r.get(1, "b")
	r.is(r.settle(d, driver.Settlement{Outcome: driver.OutcomeDone}), driver.ErrLeaseLost)
}

// TestCrashUnderLoad crashes the broker while producers and workers use it.
// Afterwards, what was confirmed and not confirmed as done is there, once, and
// nothing that was refused is.
func TestCrashUnderLoad(t *testing.T) {
	r, _ := random(t)
	s := newRig(t, Options{})
	b := s.d.Broker()
	ctx := t.Context()
	var mu sync.Mutex
	stored, done := map[string]bool{}, map[string]bool{}
	for round := range 30 {
		var all sync.WaitGroup
		// The crash comes at a random number of confirmations.
		instant, left := make(chan struct{}), 1+r.IntN(500)
		for p := range 2 {
			d, err := b.Open()
			s.ok(err)
			all.Go(func() {
				defer d.Close(ctx)
				for n := 0; ; n++ {
					id := fmt.Sprintf("%d-%d-%d", round, p, n)
					if res := d.Enqueue(ctx, "q", []*driver.Message{message(id)}); res != nil {
						s.refused(res[0].Err)
						return
					}
					mu.Lock()
					stored[id] = true
					if left--; left == 0 {
						close(instant)
					}
					mu.Unlock()
				}
			})
		}
		for range 2 {
			d, err := b.Open()
			s.ok(err)
			c, err := d.Consume(ctx, "q", driver.ConsumeOptions{Lease: time.Hour})
			s.ok(err)
			all.Go(func() {
				defer d.Close(ctx)
				for {
					got, err := c.Receive(ctx, 8)
					if err != nil {
						s.refused(err)
						return
					}
					for _, x := range got[:len(got)/2+1] {
						if errs := c.Settle(ctx, []driver.Settlement{{Delivery: x, Outcome: driver.OutcomeDone}}); errs != nil {
							s.refused(errs[0])
							return
						}
						mu.Lock()
						if done[x.ID] {
							t.Errorf("job %s was done twice", x.ID)
						}
						done[x.ID] = true
						mu.Unlock()
					}
				}
			})
		}
		<-instant
		b.Crash()
		probe, err := b.Open()
		s.ok(err)
		before, err := probe.Depth(ctx, "q")
		s.ok(err)
		all.Wait()
		after, err := probe.Depth(ctx, "q")
		s.ok(err)
		before.Age, after.Age = 0, 0
		if before != after || before.Running != 0 {
			t.Fatalf("depth after the crash %+v, and later %+v", before, after)
		}
		s.ok(probe.Close(ctx))
	}
	s = openRig(t, b)
	var want []string
	for id := range stored {
		if !done[id] {
			want = append(want, id)
		}
	}
	var got []string
	for _, e := range listAll(s, driver.StateWaiting, 1000) {
		got = append(got, e.ID)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Fatalf("%d jobs are left, want %d of %d confirmed", len(got), len(want), len(stored))
	}
}

// refused fails unless the error says that the crash kept the call from having
// an effect. It is for goroutines.
func (r *rig) refused(err error) {
	if !errors.Is(err, driver.ErrUnavailable) || driver.FateOf(err) != driver.FateNotStored {
		r.Errorf("%v", err)
	}
}
