package move_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/move"
)

// job makes an entry of a state with all that a job can have but a group.
func job(i int, state batch.State) batch.Entry {
	e := batch.Entry{State: state, Failures: i % 3, Bounces: i % 2, Deliveries: i % 5}
	e.ID, e.Kind, e.ContentType = fmt.Sprintf("%s-%04d", state, i), fmt.Sprintf("kind-%d", i%4), "application/json"
	e.Body = fmt.Appendf(nil, `{"n":%d}`, i)
	e.Headers = map[string]string{"tenant": fmt.Sprint(i % 7)}
	e.EnqueuedAt = time.UnixMilli(1_700_000_000_000 + int64(i)).UTC()
	e.ExpiresAt = e.EnqueuedAt.Add(1000 * 24 * time.Hour)
	e.MaxAttempts, e.Timeout, e.Level = i%9+1, time.Duration(i%4)*time.Second, batch.Level(i%5-2)
	if i%3 == 0 {
		e.DedupKey = fmt.Sprintf("key-%d", i)
	}
	if e.Failures > 0 {
		e.LastError = "it failed"
	}
	if e.Bounces > 0 {
		e.BouncedSince = time.UnixMilli(1_700_000_100_000).UTC()
	}
	switch state {
	case batch.StateScheduled:
		e.Delay = time.Hour + time.Duration(i)*time.Minute
	case batch.StateDead:
		e.Reason, e.DeadAt = driver.ReasonAttempts, time.UnixMilli(1_700_000_200_000+int64(i)).UTC()
	}
	return e
}

// jobs are waiting, scheduled and dead ones; some of those that wait are of groups.
func jobs(waiting, scheduled, dead int) []batch.Entry {
	var all []batch.Entry
	for i := range waiting {
		e := job(i, batch.StateWaiting)
		if i%4 == 1 {
			e.Group, e.Level = fmt.Sprintf("group-%d", i%3), batch.Normal
		}
		all = append(all, e)
	}
	for i := range scheduled {
		all = append(all, job(i, batch.StateScheduled))
	}
	for i := range dead {
		all = append(all, job(i, batch.StateDead))
	}
	return all
}

// fill imports entries.
func fill(t testing.TB, d batch.Importer, queue string, entries []batch.Entry) {
	t.Helper()
	if _, err := batch.Import(t.Context(), batch.NewQueue(d, queue), entries); err != nil {
		t.Fatal(err)
	}
}

// content lists all that a queue holds and that does not run, by state.
func content(t testing.TB, d *memory.Driver, queue string) []batch.Entry {
	t.Helper()
	var all []batch.Entry
	for _, state := range []batch.State{batch.StateWaiting, batch.StateScheduled, batch.StateDead} {
		for cursor := ""; ; {
			page, next, err := d.List(context.Background(), queue, state, cursor, 1000)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, page...)
			if cursor = next; next == "" {
				break
			}
		}
	}
	return all
}

// same compares entries by all that is to be kept. When a scheduled job is due may differ by a moment.
func same(t testing.TB, got, want []batch.Entry) {
	t.Helper()
	byID := func(a, b batch.Entry) int { return cmp.Compare(a.ID, b.ID) }
	got, want = slices.SortedFunc(slices.Values(got), byID), slices.SortedFunc(slices.Values(want), byID)
	if len(got) != len(want) {
		t.Errorf("%d jobs are there, want %d: lost %q, more than once %q", len(got), len(want), missing(want, got), missing(got, want))
		return
	}
	for i := range got {
		g, w := got[i], want[i]
		if off := g.DueAt.Sub(w.DueAt); off < 0 || off > time.Minute {
			t.Errorf("%s is due at %s, want %s", g.ID, g.DueAt, w.DueAt)
		}
		g.DueAt, w.DueAt = time.Time{}, time.Time{}
		if !reflect.DeepEqual(g, w) {
			t.Errorf("a job is not as it was:\n got %+v\nwant %+v", g, w)
		}
	}
}

// onceMore allows a waiting job to have been handed out more often: to movers that vanished, or
// that gave it back.
func onceMore(got, want []batch.Entry) []batch.Entry {
	before := make(map[string]int)
	for _, e := range want {
		before[e.ID] = e.Deliveries
	}
	for i := range got {
		if e := &got[i]; e.State == batch.StateWaiting && e.Deliveries > before[e.ID] {
			e.Deliveries = before[e.ID]
		}
	}
	return got
}

// missing lists the IDs that are in a more often than in b.
func missing(a, b []batch.Entry) []string {
	n := make(map[string]int)
	for _, e := range a {
		n[e.ID]++
	}
	for _, e := range b {
		n[e.ID]--
	}
	maps.DeleteFunc(n, func(_ string, k int) bool { return k <= 0 })
	return slices.Sorted(maps.Keys(n))
}

// groupOrder lists the IDs of each group in the order in which they are handed out.
func groupOrder(entries []batch.Entry) map[string][]string {
	groups := make(map[string][]string)
	for _, e := range slices.SortedStableFunc(slices.Values(entries), func(a, b batch.Entry) int { return cmp.Compare(a.ID, b.ID) }) {
		if e.Group != "" {
			groups[e.Group] = append(groups[e.Group], e.ID)
		}
	}
	return groups
}

// drain takes the jobs of the queue, one at a time, and lists those of each group.
func drain(t testing.TB, d batch.Driver, queue string) map[string][]string {
	t.Helper()
	c, err := d.Consume(t.Context(), queue, driver.ConsumeOptions{Lease: time.Minute, Prefetch: 1})
	if err != nil {
		t.Fatal(err)
	}
	groups := make(map[string][]string)
	for {
		depth, err := d.Depth(t.Context(), queue)
		if err != nil || depth.Waiting == 0 {
			return groups
		}
		got, err := c.Receive(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if g := got[0].Group; g != "" {
			groups[g] = append(groups[g], got[0].ID)
		}
		c.Settle(t.Context(), []driver.Settlement{{Delivery: got[0], Outcome: driver.OutcomeDone}})
	}
}

// brokers are two stores with a handle on each.
func brokers(t testing.TB) (from, to *memory.Driver) {
	t.Helper()
	from, to = memory.New(), memory.New()
	t.Cleanup(func() {
		_ = from.Close(context.Background())
		_ = to.Close(context.Background())
	})
	return from, to
}

func TestRunMovesAllThatThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := brokers(t)
		fill(t, from, "emails", jobs(350, 45, 230))
		want := content(t, from, "emails")
		var last move.Progress
		p, err := move.Run(t.Context(), from, to, "emails", move.To("mails"), move.OnProgress(func(p move.Progress) { last = p }))
		if err != nil {
			t.Fatal(err)
		}
		same(t, content(t, to, "mails"), want)
		if left := content(t, from, "emails"); len(left) != 0 {
			t.Errorf("the source still has %d", len(left))
		}
		if p.Waiting != 350 || p.Scheduled != 45 || p.Dead != 230 || p.Doubled != 0 || p.Left != (batch.Depth{}) || p.Moved() != 625 || p.From != "emails" || p.To != "mails" {
			t.Errorf("the progress is %+v", p)
		}
		if last != p {
			t.Errorf("the last progress that was told is %+v, and Run returned %+v", last, p)
		}
		if got, want := drain(t, to, "mails"), groupOrder(want); !reflect.DeepEqual(got, want) {
			t.Errorf("the groups are %q, want %q", got, want)
		}
	})
}

func TestOrderIsKeptByOneBatchAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := brokers(t)
		var entries []batch.Entry
		for i := range 450 {
			e := job(i, batch.StateWaiting)
			e.Level = batch.Normal
			entries = append(entries, e)
		}
		fill(t, from, "q", entries)
		if _, err := move.Run(t.Context(), from, to, "q", move.Concurrency(1)); err != nil {
			t.Fatal(err)
		}
		got := content(t, to, "q")
		if !slices.IsSortedFunc(got, func(a, b batch.Entry) int { return cmp.Compare(a.ID, b.ID) }) || len(got) != 450 {
			t.Error("the order is another one")
		}
	})
}

// TestKilledAnywhere kills a mover at each of its calls, before and after it is carried out, and lets
// another one go on. On a target that remembers what it has imported nothing is doubled.
func TestKilledAnywhere(t *testing.T) {
	entries := jobs(230, 25, 60)
	for _, after := range []bool{false, true} {
		for at := 1; ; at++ {
			fired := false
			synctest.Test(t, func(t *testing.T) {
				a, b := memory.New(), memory.New()
				fill(t, a, "q", entries)
				want := content(t, a, "q")
				g := &gate{at: at, after: after}
				_, err := move.Run(t.Context(), &rigged{a, g}, &rigged{b, g}, "q", move.Concurrency(2))
				if fired = g.killed(); !fired && err != nil { // one that is killed as it ends may not know
					t.Fatal(err)
				}
				time.Sleep(time.Minute) // the leases of the dead end
				if _, err := move.Run(t.Context(), a, b, "q"); err != nil {
					t.Fatal(err)
				}
				moved := slices.DeleteFunc(content(t, b, "q"), isProbe) // that one stays if the mover was killed with it
				same(t, onceMore(moved, want), want)
				if left := content(t, a, "q"); len(left) != 0 {
					t.Errorf("the source still has %d", len(left))
				}
				if got, want := drain(t, b, "q"), groupOrder(want); !reflect.DeepEqual(got, want) {
					t.Errorf("the groups are %q, want %q", got, want)
				}
				_, _ = a.Close(context.Background()), b.Close(context.Background())
			})
			if t.Failed() {
				t.Fatalf("at call %d, which was carried out: %t", at, after)
			}
			if !fired {
				if at < 20 {
					t.Fatalf("a whole move had %d calls", at)
				}
				break
			}
		}
	}
}

// TestGroupBehindARetry: the jobs of a group that stand behind one that is held back do so on the
// target, too.
func TestGroupBehindARetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := brokers(t)
		of := func(e *batch.Entry) { e.Group = "g" }
		fill(t, from, "q", []batch.Entry{bare("1", batch.StateScheduled, of), bare("2", batch.StateWaiting, of), bare("3", batch.StateWaiting, of)})
		if _, err := move.Run(t.Context(), from, to, "q"); err != nil {
			t.Fatal(err)
		}
		c, err := to.Consume(t.Context(), "q", driver.ConsumeOptions{Lease: time.Minute, Prefetch: 1})
		if err != nil {
			t.Fatal(err)
		}
		early, stop := context.WithTimeout(t.Context(), 50*time.Minute)
		defer stop()
		if got, err := c.Receive(early, 1); err == nil {
			t.Fatalf("%s was handed out before its time", got[0].ID)
		}
		for _, id := range []string{"1", "2", "3"} {
			got, err := c.Receive(t.Context(), 1)
			if err != nil || got[0].ID != id {
				t.Fatalf("got %v, %v, want %s", got, err, id)
			}
			c.Settle(t.Context(), []driver.Settlement{{Delivery: got[0], Outcome: driver.OutcomeDone}})
		}
	})
}
