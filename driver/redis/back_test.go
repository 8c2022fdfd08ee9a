package redis

import (
	"fmt"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
)

// newerJobs is how many newer jobs those that come back would have to wait for.
const newerJobs = 300

// TestWhatComesBackIsHandedOutFirst: jobs whose holder vanished, and released ones, come
// before the newer ones of their level, and not before those of a higher one.
func TestWhatComesBackIsHandedOutFirst(t *testing.T) {
	d, r := open(t), raw(t)
	ctx := testContext(t)
	for name, giveUp := range map[string]func(c *consumer, got []*driver.Delivery){
		"released": func(c *consumer, got []*driver.Delivery) {
			for _, g := range got {
				settle(t, c, driver.Settlement{Delivery: g, Outcome: driver.OutcomeRelease})
			}
		},
		"lost": func(c *consumer, _ []*driver.Delivery) {
			if err := c.Close(ctx); err != nil {
				t.Fatal(err)
			}
		},
		"returned": func(c *consumer, got []*driver.Delivery) { c.fetcher.giveBack(got) },
	} {
		t.Run(name, func(t *testing.T) {
			q := queue(t, d)
			lease := time.Minute
			if name == "lost" {
				lease = minLease
			}
			gone := consume(t, d, q, lease)
			enqueue(t, d, q, message("old-1"), message("old-2"), message("old-low", level(driver.Low)), message("old-3", group("g")))
			got := receive(t, gone, 4)
			var newer []*driver.Message
			for i := range newerJobs {
				newer = append(newer, message(fmt.Sprint("new-", i)))
			}
			enqueue(t, d, q, append(newer, message("high", level(driver.High)))...)
			giveUp(gone, got)
			c := consume(t, d, q, time.Minute)
			eventually(t, "the jobs to be back", func() bool {
				n := int64(0)
				for _, l := range []driver.Level{driver.Normal, driver.Low} {
					here, err := r.XLen(ctx, d.names(q).prefix+keyNames[streamOf(l)-1+backOffset]).Result()
					if err != nil {
						t.Fatal(err)
					}
					n += here
				}
				return n == 4
			})
			depth(t, d, q, driver.Depth{Waiting: newerJobs + 5})
			list, _, err := d.List(ctx, q, driver.StateWaiting, "", 5)
			if err != nil || len(list) != 5 || list[0].ID != "high" || list[1].ID[:4] != "old-" || list[4].ID != "new-0" {
				t.Errorf("%d jobs are listed, %v", len(list), err)
			}
			first := receive(t, c, 4)
			if first[0].ID != "high" {
				t.Errorf("received %v first", ids(first))
			}
			for _, g := range first[1:] {
				if g.ID[:4] != "old-" || g.Level != driver.Normal {
					t.Errorf("received %s of level %d among the first", g.ID, g.Level)
				}
			}
			if errs := c.Extend(ctx, first); errs != nil {
				t.Errorf("extended: %v", errs)
			}
			done(t, c, first...)
			rest := receive(t, c, newerJobs+1)
			if last := rest[len(rest)-1]; last.ID != "old-low" || last.Level != driver.Low {
				t.Errorf("received %s last", last.ID)
			}
			done(t, c, rest...)
			depth(t, d, q, driver.Depth{})
			c.recoverLapsed(time.Millisecond, "")
			eventually(t, "the empty streams to be removed", func() bool {
				c.recoverLapsed(time.Millisecond, "")
				return r.Exists(ctx, d.names(q).prefix+"normal-back", d.names(q).prefix+"low-back").Val() == 0
			})
		})
	}
}

// TestRecoveryThatFailsEnds: jobs that cannot be stored anew are left for the next look, and
// do not keep this one from ending, however many there are.
func TestRecoveryThatFailsEnds(t *testing.T) {
	d, r := open(t), raw(t)
	ctx := testContext(t)
	q := queue(t, d)
	const jobs = 250
	gone := consume(t, d, q, minLease)
	enqueue(t, d, q, many(jobs)...)
	receive(t, gone, jobs)
	if err := gone.Close(ctx); err != nil {
		t.Fatal(err)
	}
	key := d.names(q).prefix + "normal-back"
	if err := r.Set(ctx, key, "foreign", 0).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the leases to end", func() bool {
		lapsed, err := r.XPendingExt(ctx, &goredis.XPendingExtArgs{
			Stream: streamKey(d, q, driver.Normal), Group: groupName, Idle: minLease, Start: "-", End: "+", Count: jobs}).Result()
		if err != nil {
			t.Fatal(err)
		}
		return len(lapsed) == jobs
	})
	c := consume(t, d, q, time.Minute)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.recoverLapsed(time.Millisecond, "")
	}()
	select {
	case <-ended:
	case <-time.After(bound):
		t.Error("it goes on and on")
	}
	r.Del(ctx, key)
	left := jobs
	eventually(t, "the jobs", func() bool {
		c.recoverLapsed(time.Millisecond, "")
		got, err := c.fetcher.fetch(jobs)
		if err != nil {
			t.Fatal(err)
		}
		done(t, c, got...)
		left -= len(got)
		return left == 0
	})
}
