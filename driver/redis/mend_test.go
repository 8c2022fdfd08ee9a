package redis

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// TestRemovedKeysComeBack: whichever single key of a queue somebody removes, no job stands
// still for it but those that were in that key.
func TestRemovedKeysComeBack(t *testing.T) {
	d, r := open(t), raw(t)
	ctx := testContext(t)
	all := []string{"due", "behind", "groups", "wake", "timer", "lock", "paused", "deleted", "normal-back", "token"}
	for _, key := range all {
		t.Run(key, func(t *testing.T) {
			t.Parallel() // it waits for a lease, which a busy machine does not miss
			q := queue(t, d)
			c := consume(t, d, q, 2*time.Second)
			enqueue(t, d, q, message("g1", group("g")), message("g2", group("g")), message("g3", group("g")),
				message("later", delay(300*time.Millisecond)), message("back"), message("plain"))
			for _, g := range receive(t, c, 3) {
				if g.ID == "back" {
					settle(t, c, driver.Settlement{Delivery: g, Outcome: driver.OutcomeRelease})
				}
			}
			want := []string{"back", "g1", "g2", "g3", "later", "plain"}
			if key == "normal-back" {
				want = want[1:]
			}
			r.Del(ctx, d.names(q).prefix+key)
			seen := make(map[string]bool)
			other := consume(t, d, q, time.Minute)
			eventually(t, fmt.Sprintf("all jobs, of which there are %v", seen), func() bool {
				other.recoverLapsed(time.Millisecond, "0")
				got, err := other.fetcher.fetch(10)
				if err != nil {
					t.Fatal(err)
				}
				for _, g := range got {
					seen[g.ID] = true
				}
				done(t, other, got...)
				return len(seen) == len(want)
			})
			var ids []string
			for id := range seen {
				ids = append(ids, id)
			}
			if slices.Sort(ids); !slices.Equal(ids, want) {
				t.Errorf("received %v, want %v", ids, want)
			}
			depth(t, d, q, driver.Depth{})
			if n := r.HLen(ctx, d.names(q).prefix+"bodies").Val(); n != 0 {
				t.Errorf("%d bodies are left behind", n)
			}
		})
	}
}

// TestManyGroupsComeBack: without the key groups, no group waits for the jobs of another.
func TestManyGroupsComeBack(t *testing.T) {
	d, r := open(t), raw(t)
	q := queue(t, d)
	c := consume(t, d, q, time.Minute)
	const groups = 120
	for i := range groups {
		name := fmt.Sprintf("g%03d", i)
		enqueue(t, d, q, message(name+"-1", group(name)), message(name+"-2", group(name)), message(name+"-3", group(name)))
	}
	receive(t, c, groups)
	r.Del(testContext(t), d.names(q).prefix+"groups")
	seen := make(map[string]bool)
	eventually(t, "one job of each group", func() bool {
		c.recoverLapsed(time.Millisecond, "0")
		got, err := c.fetcher.fetch(groups)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range got {
			if g.ID[4:] != "-2" {
				t.Errorf("%s has begun beside another of its group", g.ID)
			}
			seen[g.Group] = true
		}
		return len(seen) == groups
	})
}

// TestGoneInTheMiddle: a server that is emptied, or loses its scripts, between any two calls
// has errors that say so, and goes on when the queue is declared.
func TestGoneInTheMiddle(t *testing.T) {
	d, r := open(t), raw(t)
	q := queue(t, d)
	c := consume(t, d, q, time.Minute)
	for i := range 6 {
		enqueue(t, d, q, many(70)...)
		got := receive(t, c, 70)
		wipe(t, r, d, q)
		errs := c.Settle(testContext(t), oneOfEach(got))
		for j, err := range errs {
			if err == nil {
				t.Errorf("%d: settlement %d of a job that is gone", i, j)
			}
		}
		declare(t, d, q)
	}
}
