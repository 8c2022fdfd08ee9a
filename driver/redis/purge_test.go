package redis

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// TestPurge: what waits goes, and the rest stays.
func TestPurge(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	ctx := testContext(t)
	c := consume(t, d, q, time.Minute)
	enqueue(t, d, q, message("running", dedup("running")), message("dead"), message("head", group("h")))
	got := receive(t, c, 3)
	settle(t, c, driver.Settlement{Delivery: got[1], Outcome: driver.OutcomeDead, Reason: driver.ReasonPermanent})
	var ms []*driver.Message
	for i := range 700 { // more than a step
		ms = append(ms, message(fmt.Sprint(i), level(driver.Level(i%5-2))))
	}
	for i := range 40 {
		ms = append(ms, message(fmt.Sprint("g", i), group(fmt.Sprint("g", i%3))), message(fmt.Sprint("h", i), group("h")))
	}
	ms = append(ms, message("later", delay(time.Hour)))
	enqueue(t, d, q, ms...)
	enqueue(t, d, q, message("key", dedup("key")), message("line", group("h"), dedup("line")))
	if err := d.Pause(ctx, q); err != nil {
		t.Fatal(err)
	}
	depth(t, d, q, driver.Depth{Waiting: 782, Scheduled: 1, Running: 2, Dead: 1})
	if n, err := d.Purge(ctx, q); n != 782 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := d.Purge(ctx, q); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	depth(t, d, q, driver.Depth{Scheduled: 1, Running: 2, Dead: 1})
	if err := d.Resume(ctx, q); err != nil {
		t.Fatal(err)
	}
	// Groups go on: those without a running job at once.
	enqueue(t, d, q, message("g", group("g1")), message("behind", group("h")))
	if next := receive(t, c, 1); next[0].ID != "g" {
		t.Fatalf("received %v", ids(next))
	}
	done(t, c, got[2])
	if next := receive(t, c, 1); next[0].ID != "behind" {
		t.Fatalf("received %v", ids(next))
	}
	// The keys of the removed are free, and that of the running one is not.
	enqueue(t, d, q, message("key2", dedup("key")), message("line2", dedup("line")))
	if r := d.Enqueue(ctx, q, []*driver.Message{message("x", dedup("running"))}); r == nil || r[0].DuplicateOf != "running" {
		t.Errorf("%+v", r)
	}
}

// TestPurgeOfABusyQueue: producers cannot keep it from ending, and no job is lost that
// came later and is not counted.
func TestPurgeOfABusyQueue(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	ctx := testContext(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	stored := make([]int, 3)
	for w := range stored {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				ms := []*driver.Message{message("a"), message("b", level(driver.High)), message("c", group(fmt.Sprint("g", w)))}
				if r := d.Enqueue(ctx, q, ms); r != nil {
					t.Error(r)
					return
				}
				stored[w] += len(ms)
			}
		})
	}
	removed := 0
	for range 20 {
		n, err := d.Purge(ctx, q)
		if err != nil {
			t.Error(err)
		}
		removed += n
	}
	close(stop)
	wg.Wait()
	n, err := d.Purge(ctx, q)
	if all := stored[0] + stored[1] + stored[2]; err != nil || removed+n != all {
		t.Errorf("removed %d of %d, %v", removed+n, all, err)
	}
	depth(t, d, q, driver.Depth{})
}
