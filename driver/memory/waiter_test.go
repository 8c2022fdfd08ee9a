package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
)

// received is what a Receive in the background returned.
type received struct {
	who  int
	jobs []string
	err  error
}

// background starts Receive calls, one after another, that all wait.
func background(r *rig, ctx context.Context, n, max int) chan received {
	out := make(chan received, n)
	for i := range n {
		c := r.consume(testLease)
		go func() {
			got, err := c.Receive(ctx, max)
			out <- received{i, ids(got), err}
		}()
		synctest.Wait()
	}
	return out
}

// Waiting calls are served in the order in which they came, a job each.
func TestWaitersAreServedInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		out := background(r, t.Context(), 4, 10)
		for i := range 4 {
			r.add(fmt.Sprint(i))
			synctest.Wait()
			if got := <-out; got.who != i || !slices.Equal(got.jobs, []string{fmt.Sprint(i)}) {
				t.Fatalf("job %d: %+v", i, got)
			}
		}
	})
}

// What comes at once is shared out: no waiter gets all while others get none.
func TestWaitersShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		out := background(r, t.Context(), 3, 100)
		var batch []*driver.Message
		for i := range 30 {
			batch = append(batch, message(fmt.Sprint(i)))
		}
		r.d.Enqueue(t.Context(), "q", batch)
		total := 0
		for range 3 {
			got := <-out
			if len(got.jobs) != 10 {
				t.Errorf("a waiter got %d of 30 jobs", len(got.jobs))
			}
			total += len(got.jobs)
		}
		if total != 30 {
			t.Fatalf("%d jobs handed out", total)
		}
	})
}

// A call whose ctx ends returns at once and loses nothing, also if a job came in
// the same moment.
func TestReceiveEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		out := background(r, ctx, 1, 10)
		cancel()
		if got := <-out; !errors.Is(got.err, context.Canceled) {
			t.Fatalf("%+v", got)
		}
		if _, err := r.c.Receive(ctx, 1); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		for range 200 {
			ctx, cancel := context.WithCancel(t.Context())
			first := background(r, ctx, 1, 10)
			second := background(r, t.Context(), 1, 10)
			go cancel()
			r.add("a")
			a := <-first
			if a.err == nil {
				r.add("b") // the first had it
			} else if !errors.Is(a.err, context.Canceled) {
				t.Fatal(a.err)
			}
			if b := <-second; b.err != nil || len(b.jobs) != 1 {
				t.Fatalf("first %+v, second %+v", a, b)
			}
		}
		if claims := r.d.broker.queue("q").waiters.claims; claims != 0 {
			t.Fatalf("%d claims are left", claims)
		}
	})
}

// A call that is woken for a job and whose ctx ends in the same moment hands its
// claim on: the next waiting call gets the job.
func TestClaimIsHandedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		q := r.d.broker.queue("q")
		ended := 0
		for range 100 {
			ctx, cancel := context.WithCancel(t.Context())
			first := background(r, ctx, 1, 1)
			second := background(r, t.Context(), 1, 1)
			// Under the lock, so that the call sees both when it runs.
			q.mu.Lock()
			cancel()
			j := newJob(message("a"), 0)
			q.capacity.reserve(j.size, 1)
			q.store(j, message("a"), q.clock.now())
			q.end(q.clock.now())
			if a := <-first; a.err != nil {
				ended++
			} else {
				r.add("b")
			}
			if b := <-second; len(b.jobs) != 1 {
				t.Fatalf("%+v", b)
			}
		}
		if ended == 0 {
			t.Fatal("ctx was never seen first")
		}
	})
}

// A newcomer does not take the job that a waiting call was woken for.
func TestNewcomerLeavesClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		out := background(r, t.Context(), 1, 1)
		q := r.d.broker.queue("q")
		r.add("a")
		r.add("b")
		// Whether the waiter has run or not, one job is for each.
		got, err := r.c.Receive(t.Context(), 10)
		r.ok(err)
		if first := <-out; len(got) != 1 || len(first.jobs) != 1 {
			t.Fatalf("the waiter got %v, the newcomer %v", first.jobs, ids(got))
		}
		if q.waiters.claims != 0 || q.waiters.first != nil {
			t.Fatal("waiters are left")
		}
	})
}

func TestPauseAndResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		out := background(r, t.Context(), 1, 1)
		for range 2 {
			r.ok(r.d.Pause(t.Context(), "q"))
		}
		r.add("a")
		r.add("late", delay(time.Second))
		time.Sleep(time.Hour)
		r.none()
		r.depth(2, 0, 0, 0)
		r.ok(r.d.Resume(t.Context(), "q"))
		if got := <-out; !slices.Equal(got.jobs, []string{"a"}) {
			t.Fatalf("%+v", got)
		}
		r.get(1, "late")
		r.ok(r.d.Resume(t.Context(), "q"))
	})
}

// A waiter that was woken, but finds the queue paused, keeps its turn.
func TestPauseBetweenWakeAndTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		for range 100 {
			out := background(r, t.Context(), 2, 1)
			r.add("a")
			r.ok(r.d.Pause(t.Context(), "q"))
			synctest.Wait()
			early := len(out)
			r.ok(r.d.Resume(t.Context(), "q"))
			if got := <-out; got.who != 0 {
				t.Fatalf("waiter %d was served first (%d before the pause)", got.who, early)
			}
			r.add("b")
			r.ok(r.d.Pause(t.Context(), "q"))
			synctest.Wait()
			r.ok(r.d.Resume(t.Context(), "q"))
			if got := <-out; got.who != 1 {
				t.Fatalf("%+v", got)
			}
		}
	})
}

func TestReceiveReturnsWhenGone(t *testing.T) {
	for name, x := range map[string]struct {
		do   func(r *rig)
		want error
	}{
		"driver closed":  {func(r *rig) { r.ok(r.d.Close(r.Context())) }, driver.ErrClosed},
		"broker crashed": {func(r *rig) { r.d.Broker().Crash() }, driver.ErrUnavailable},
		"queue deleted":  {func(r *rig) { r.ok(r.d.DeleteQueue(r.Context(), "q")) }, driver.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, Options{})
				out := background(r, t.Context(), 3, 1)
				x.do(r)
				for range 3 {
					r.is((<-out).err, x.want)
				}
				_, err := r.c.Receive(t.Context(), 1)
				r.is(err, x.want)
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		go func() {
			synctest.Wait()
			_ = r.c.Close(t.Context())
		}()
		_, err := r.c.Receive(t.Context(), 1)
		r.is(err, driver.ErrClosed)
	})
}

// No timer is set while no Receive waits, and none is left after Close.
func TestTimerOnlyWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		q := r.d.broker.queue("q")
		r.add("later", delay(time.Hour))
		if q.timer != nil {
			t.Fatal("a timer is set without a Receive")
		}
		go func() { _, _ = r.c.Receive(t.Context(), 1) }()
		synctest.Wait()
		if q.alarm == 0 {
			t.Fatal("no timer is set for a Receive that waits")
		}
		r.ok(r.d.Close(t.Context()))
		if q.alarm != 0 || q.timer.Stop() {
			t.Fatal("the timer runs after Close")
		}
	})
}

func TestReceiveChecksMax(t *testing.T) {
	r := newRig(t, Options{})
	for _, max := range []int{-1, 0, maxBatch + 1} {
		_, err := r.c.Receive(t.Context(), max)
		r.is(err, driver.ErrConfig)
	}
}
