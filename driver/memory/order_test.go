package memory

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
)

func TestPriorityIsStrict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		for _, l := range []driver.Level{driver.Normal, driver.Trivial, driver.High, driver.Low, driver.Critical} {
			for i := range 2 {
				r.add(fmt.Sprint(int(l), "-", i), level(l))
			}
		}
		// A job keeps its level across delays, retries and lost leases.
		r.add("delayed", level(driver.Critical), delay(time.Second))
		d := r.get(1, "2-0")[0]
		r.ok(r.settle(d, driver.Settlement{Outcome: driver.OutcomeRetry, Delay: 2 * time.Second}))
		r.get(1, "2-1")
		time.Sleep(testLease)
		r.get(5, "2-1", "delayed", "2-0", "1-0", "1-1")
		got := r.get(20, "0-0", "0-1", "-1-0", "-1-1", "-2-0", "-2-1")
		// And across redrives.
		r.end(got[0], driver.OutcomeDead)
		r.end(got[5], driver.OutcomeDead)
		r.add("new")
		n, err := r.d.Redrive(t.Context(), "q", driver.Selection{All: true})
		r.ok(err)
		if n != 2 {
			t.Fatalf("%d redriven", n)
		}
		r.get(20, "new", "0-0", "-2-1")
	})
}

func TestReleaseKeepsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		const n = 3 * chunkSize
		var want []string
		for i := range n {
			want = append(want, fmt.Sprintf("%03d", i))
			r.add(want[i])
		}
		got := r.get(n, want...)
		// In whatever order they come back.
		for i := range got {
			r.end(got[(i*7)%n], driver.OutcomeRelease)
		}
		r.get(n, want...)
		time.Sleep(testLease)
		r.get(n, want...)
	})
}

func TestDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		r.add("hour", delay(time.Hour))
		r.add("second", delay(time.Second))
		r.add("minute", delay(time.Minute))
		r.add("year", delay(365*24*time.Hour))
		start := time.Now()
		for _, want := range []struct {
			id    string
			after time.Duration
		}{{"second", time.Second}, {"minute", time.Minute}, {"hour", time.Hour}, {"year", 365 * 24 * time.Hour}} {
			d := r.get(10, want.id)[0]
			if after := time.Since(start); after != want.after {
				t.Fatalf("%s came after %s", want.id, after)
			}
			if d.Delay != 0 {
				t.Fatalf("delivered with delay %s", d.Delay)
			}
			r.end(d, driver.OutcomeDone)
		}
	})
}

// Neither a delay nor a retry is early by a nanosecond.
func TestNeverEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		r.add("delayed", delay(time.Second))
		r.add("retried")
		r.ok(r.settle(r.get(1, "retried")[0], driver.Settlement{Outcome: driver.OutcomeRetry, Delay: time.Second}))
		time.Sleep(time.Second - 1)
		r.depth(0, 2, 0, 0)
		time.Sleep(1 * time.Nanosecond)
		r.depth(2, 0, 0, 0)
	})
}

// A delay that is enqueued while a Receive waits for a later one is in time.
func TestEarlierDelayWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		r.add("late", delay(testLease))
		out := background(r, t.Context(), 2, 1)
		r.add("early", delay(time.Second))
		start := time.Now()
		for _, want := range []string{"early", "late"} {
			if got := <-out; !slices.Equal(got.jobs, []string{want}) {
				t.Fatalf("%+v, want %s", got, want)
			}
		}
		if after := time.Since(start); after != testLease {
			t.Fatalf("the last came after %s", after)
		}
	})
}

func TestGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		r.add("a1", group("a"))
		r.add("a2", group("a"), level(driver.Critical))
		r.add("b1", group("b"))
		r.add("a3", group("a"))
		r.add("free")
		got := r.get(10, "a1", "b1", "free")
		r.none()
		r.depth(2, 0, 3, 0)

		// The head's retry keeps the group blocked; others go on.
		r.ok(r.settle(got[0], driver.Settlement{Outcome: driver.OutcomeRetry, Delay: time.Second, Failures: 1}))
		r.add("b2", group("b"))
		r.end(got[1], driver.OutcomeDone)
		r.get(10, "b2")
		r.none()
		start := time.Now()
		d := r.get(10, "a1")[0]
		if after := time.Since(start); after > time.Second {
			t.Fatalf("the retry came after %s", after)
		}

		// So do its release and its lost lease.
		r.end(d, driver.OutcomeRelease)
		r.get(10, "a1")
		time.Sleep(testLease)
		got = r.get(10, "a1", "free", "b2") // all leases ended
		a1 := got[0]

		// Dead lets the group go on, and so does Delete.
		r.end(a1, driver.OutcomeDead)
		a2 := r.get(10, "a2")[0]
		r.ok(r.settle(a2, driver.Settlement{Outcome: driver.OutcomeRetry, Delay: time.Hour}))
		r.ok(r.d.Delete(t.Context(), "q", "a2"))
		a3 := r.get(10, "a3")[0]

		// A redriven job stands at the end of its group.
		r.add("a4", group("a"))
		_, err := r.d.Redrive(t.Context(), "q", driver.Selection{IDs: []string{"a1"}})
		r.ok(err)
		r.end(a3, driver.OutcomeDone)
		a4 := r.get(10, "a4")[0]
		r.ok(r.d.Delete(t.Context(), "q", "a1"))
		r.end(a4, driver.OutcomeDone)
		r.none()
		if n := len(r.d.broker.queue("q").groups.lists.entries); n != 1 {
			t.Fatalf("%d groups are kept, want b alone", n)
		}
	})
}

func TestGroupWithDelayIsRefused(t *testing.T) {
	r := newRig(t, Options{})
	r.is(r.try("a", group("g"), delay(time.Second)).Err, driver.ErrUnsupported)
	r.depth(0, 0, 0, 0)
}
