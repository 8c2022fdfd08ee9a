package memory

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
)

// Purge takes more than a batch, blocked jobs too, and nothing that does not wait.
func TestPurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		r.add("head", group("g"))
		head := r.get(1, "head")[0]
		const n = 2*movedBatch + 10
		for i := range n {
			r.add(fmt.Sprint(i), level(driver.Level(i%5-2)), key(fmt.Sprint(i)), func(m *driver.Message) {
				if i%3 == 0 {
					m.Group = fmt.Sprint("g", i%30)
				}
			})
		}
		r.add("behind", group("g"))
		r.add("later", delay(time.Hour))
		got, err := r.d.Purge(t.Context(), "q")
		r.ok(err)
		if got != n+1 {
			t.Fatalf("%d purged, want %d", got, n+1)
		}
		r.depth(0, 1, 1, 0)
		r.none()
		r.add("next", group("g"), key("5"))
		r.none()
		r.end(head, driver.OutcomeDone)
		r.end(r.get(10, "next")[0], driver.OutcomeDone)
		got, err = r.d.Purge(t.Context(), "q")
		r.ok(err)
		if got != 0 {
			t.Fatalf("%d purged of an empty queue", got)
		}
	})
}

func TestListQueues(t *testing.T) {
	r := newRig(t, Options{})
	for _, name := range []string{"b", "a", "c"} {
		r.ok(r.d.Declare(t.Context(), name))
	}
	r.ok(r.d.DeleteQueue(t.Context(), "b"))
	names, err := r.d.ListQueues(t.Context())
	r.ok(err)
	if !slices.Equal(names, []string{"a", "c", "q"}) {
		t.Fatalf("%v", names)
	}
	r.ok(r.d.Close(t.Context()))
	_, err = r.d.ListQueues(t.Context())
	r.is(err, driver.ErrClosed)
}

// The age is since a job began to wait, whatever its place, also for one that became
// due or whose lease ended while nobody looked.
func TestAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		age := func(want time.Duration) {
			t.Helper()
			got, err := r.d.Depth(t.Context(), "q")
			r.ok(err)
			if got.Age != want {
				t.Fatalf("the age is %s, want %s", got.Age, want)
			}
		}
		age(0)
		r.add("a")
		time.Sleep(time.Second)
		age(time.Second)
		a := r.get(1, "a")[0]
		age(0)
		r.add("b")
		time.Sleep(time.Second)
		r.end(a, driver.OutcomeRelease) // in front of b
		age(time.Second)
		got := r.get(2, "a", "b")
		r.end(got[1], driver.OutcomeDone)
		age(0)
		r.add("late", delay(testLease+time.Minute))
		time.Sleep(time.Hour)
		age(time.Hour - testLease)
		r.get(1, "a")
		age(time.Hour - testLease - time.Minute)
	})
}
