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

func entryIDs(entries []driver.Entry) (s []string) {
	for _, e := range entries {
		s = append(s, e.ID)
	}
	return s
}

func TestListOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		r.add("n1", group("g"))
		r.add("n2", group("g"))
		r.add("n3")
		r.add("high", level(driver.High))
		r.add("h2", delay(2*time.Hour))
		r.add("h1", delay(time.Hour))
		for _, id := range []string{"x", "y"} {
			r.add(id, level(driver.Critical))
			d := r.get(1, id)[0]
			r.ok(r.settle(d, driver.Settlement{Outcome: driver.OutcomeDead, Reason: driver.ReasonPoison}))
		}
		for state, want := range map[driver.State][]string{
			driver.StateWaiting:   {"high", "n1", "n2", "n3"},
			driver.StateScheduled: {"h1", "h2"},
			driver.StateDead:      {"x", "y"},
		} {
			for size := 1; size <= 5; size++ {
				got := listAll(r, state, size)
				if !slices.Equal(entryIDs(got), want) {
					t.Fatalf("%s in pages of %d: %v, want %v", state, size, entryIDs(got), want)
				}
			}
		}
		e, err := r.d.Find(t.Context(), "q", "h1")
		r.ok(err)
		if !e.DueAt.Equal(time.Now().Add(time.Hour)) || e.State != driver.StateScheduled {
			t.Fatalf("%+v", e)
		}
		if e, err = r.d.Find(t.Context(), "q", "x"); err != nil || e.Reason != driver.ReasonPoison || e.Deliveries != 1 {
			t.Fatalf("%+v, %v", e, err)
		}
	})
}

// Jobs come and go while pages are read. Those that stay are seen once.
func TestListWhileChanging(t *testing.T) {
	r := newRig(t, Options{})
	const n = 1000
	for i := range n {
		g := ""
		if i%3 == 0 {
			g = fmt.Sprint(i % 30)
		}
		r.add(fmt.Sprintf("%04d", i), level(driver.Level(i%levels)-2), group(g))
	}
	seen := map[string]int{}
	gone := map[string]bool{}
	cursor := ""
	for page := 0; ; page++ {
		list, next, err := r.d.List(t.Context(), "q", driver.StateWaiting, cursor, 7)
		r.ok(err)
		for _, e := range list {
			seen[e.ID]++
		}
		if next == "" {
			break
		}
		cursor = next
		// The one at the cursor is among those that go.
		for _, id := range []string{list[len(list)-1].ID, fmt.Sprintf("%04d", page*13%n)} {
			if !gone[id] {
				r.ok(r.d.Delete(t.Context(), "q", id))
				gone[id] = true
			}
		}
		r.add(fmt.Sprint("new", page), level(driver.Level(page%levels)-2))
	}
	for i := range n {
		id := fmt.Sprintf("%04d", i)
		if seen[id] > 1 || seen[id] == 0 && !gone[id] {
			t.Fatalf("job %s was seen %d times", id, seen[id])
		}
	}
}

func TestDeadLetterPagesAndSelections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		const n = 2500 // more than is moved under one lock
		for i := range n {
			r.add(fmt.Sprint(i))
		}
		for left := n; left > 0; {
			got, err := r.c.Receive(t.Context(), maxBatch)
			r.ok(err)
			for _, d := range got {
				r.end(d, driver.OutcomeDead)
			}
			left -= len(got)
		}
		cursor, i := "", 0
		for {
			page, next, err := r.d.DeadLetters(t.Context(), "q", cursor, 70)
			r.ok(err)
			for _, x := range page {
				if x.ID != fmt.Sprint(i) {
					t.Fatalf("dead letter %s, want %d", x.ID, i)
				}
				i++
			}
			if cursor = next; next == "" {
				break
			}
		}
		if i != n {
			t.Fatalf("%d dead letters listed", i)
		}
		for _, x := range []struct {
			do      func() (int, error)
			n, left int
		}{
			{func() (int, error) {
				return r.d.Discard(t.Context(), "q", driver.Selection{IDs: []string{"0", "none", "0"}})
			}, 1, n - 1},
			{func() (int, error) { return r.d.Redrive(t.Context(), "q", driver.Selection{IDs: []string{"2", "1"}}) }, 2, n - 3},
			{func() (int, error) { return r.d.Redrive(t.Context(), "q", driver.Selection{All: true}) }, n - 3, 0},
			{func() (int, error) { return r.d.Redrive(t.Context(), "q", driver.Selection{All: true}) }, 0, 0},
		} {
			got, err := x.do()
			r.ok(err)
			if got != x.n {
				t.Fatalf("%d were moved, want %d", got, x.n)
			}
			depth, err := r.d.Depth(t.Context(), "q")
			r.ok(err)
			if depth.Dead != int64(x.left) {
				t.Fatalf("%d are left, want %d", depth.Dead, x.left)
			}
		}
		got := r.get(3, "2", "1", "3")
		r.history(got[0], 0, 1, 0)
	})
}

// between is a context that does something whenever the driver looks at it,
// which a redrive does before each part of its work.
type between struct {
	context.Context
	do func()
}

func (b between) Err() error {
	b.do()
	return b.Context.Err()
}

// A job that is redriven and dies again during the redrive stays dead.
func TestRedriveEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		const n = movedBatch * 3 / 2
		for i := range n {
			r.add(fmt.Sprint(i))
			r.end(r.get(1, fmt.Sprint(i))[0], driver.OutcomeDead)
		}
		part := 0
		got, err := r.d.Redrive(between{t.Context(), func() {
			if part++; part == 2 {
				r.end(r.get(1, "0")[0], driver.OutcomeDead)
			}
		}}, "q", driver.Selection{All: true})
		r.ok(err)
		if got != n {
			t.Fatalf("%d redriven, want %d", got, n)
		}
		r.depth(n-1, 0, 0, 1)

		// What was done before ctx ended is told beside the error.
		ctx, cancel := context.WithCancel(t.Context())
		ids := make([]string, movedBatch+1)
		ids[0] = "0"
		part = 0
		got, err = r.d.Discard(between{ctx, func() {
			if part++; part == 2 {
				cancel()
			}
		}}, "q", driver.Selection{IDs: ids})
		if got != 1 || !errors.Is(err, context.Canceled) {
			t.Fatal(got, err)
		}
	})
}

// IDs are unique unless the application chose them.
func TestDeadLettersOfOneID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		for range 3 {
			r.add("same")
			r.end(r.get(1, "same")[0], driver.OutcomeDead)
		}
		r.ok(r.d.Delete(t.Context(), "q", "same"))
		r.depth(0, 0, 0, 2)
		n, err := r.d.Redrive(t.Context(), "q", driver.Selection{IDs: []string{"same"}})
		r.ok(err)
		if n != 2 {
			t.Fatalf("%d redriven", n)
		}
		r.depth(2, 0, 0, 0)
	})
}

func TestBadCursors(t *testing.T) {
	r := newRig(t, Options{})
	for _, cursor := range []string{"x", "waiting.1.2", "waiting.9.0.1", "waiting.0.-1.1", "waiting.0.0.x", "dead.0.0.1"} {
		_, _, err := r.d.List(t.Context(), "q", driver.StateWaiting, cursor, 1)
		r.is(err, driver.ErrConfig)
	}
	_, _, err := r.d.DeadLetters(t.Context(), "q", "waiting.0.0.1", 1)
	r.is(err, driver.ErrConfig)
	for _, max := range []int{0, 1001} {
		_, _, err := r.d.List(t.Context(), "q", driver.StateWaiting, "", max)
		r.is(err, driver.ErrConfig)
		_, _, err = r.d.DeadLetters(t.Context(), "q", "", max)
		r.is(err, driver.ErrConfig)
	}
	_, _, err = r.d.List(t.Context(), "q", 0, "", 1)
	r.is(err, driver.ErrConfig)
}
