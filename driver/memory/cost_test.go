package memory

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
)

// A job's whole way costs two allocations, the job and its delivery, besides
// the slice of each Receive; and none to wait for it.
func TestAllocations(t *testing.T) {
	const batch = 64
	for name, x := range map[string]struct {
		backlog int
		budget  float64
	}{
		"idle":          {0, 2*batch + 2},
		"under backlog": {10_000, 2*batch + 2}, // a chunk now and then
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Options{})
			for i := range x.backlog {
				r.add(fmt.Sprint(i))
			}
			messages := make([]*driver.Message, batch)
			for i := range messages {
				messages[i] = message("id")
			}
			settlements := make([]driver.Settlement, batch)
			ctx := context.Background()
			got := testing.AllocsPerRun(100, func() {
				r.d.Enqueue(ctx, "q", messages)
				deliveries, _ := r.c.Receive(ctx, batch)
				for i, d := range deliveries {
					settlements[i] = driver.Settlement{Delivery: d, Outcome: driver.OutcomeDone}
				}
				r.c.Settle(ctx, settlements)
			})
			if got > x.budget {
				t.Errorf("%v allocations for %d jobs, the budget is %v", got, batch, x.budget)
			}
		})
	}
}

// After a large backlog, of every kind, a queue is as small as a new one.
func TestMemoryIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{DedupWindow: time.Minute})
		const n = 20_000
		for i := range n {
			id := fmt.Sprint(i)
			switch i % 5 {
			case 0:
				r.add(id, level(driver.High))
			case 1:
				r.add(id, group(id))
			case 2:
				r.add(id, group("one"))
			case 3:
				r.add(id, delay(time.Duration(i)*time.Millisecond))
			case 4:
				r.add(id, key(id))
			}
		}
		for left := n; left > 0; {
			got, err := r.c.Receive(t.Context(), maxBatch)
			r.ok(err)
			for i, d := range got {
				r.end(d, []driver.Outcome{driver.OutcomeDone, driver.OutcomeDead}[i%2])
			}
			left -= len(got)
		}
		_, err := r.d.Discard(t.Context(), "q", driver.Selection{All: true})
		r.ok(err)
		time.Sleep(time.Minute)
		r.depth(0, 0, 0, 0)
		q := r.d.broker.queue("q")
		lists := []*sortedList{&q.scheduled, &q.dead}
		for i := range levels {
			lists = append(lists, &q.ready[i], &q.blocked[i])
		}
		for i, l := range lists {
			if l.n != 0 || len(l.chunks) != 0 || cap(l.chunks) > 32 {
				t.Errorf("list %d: %d jobs, %d of %d chunks", i, l.n, len(l.chunks), cap(l.chunks))
			}
		}
		if p := max(q.groups.lists.peak, q.deadByID.lists.peak, q.keys.byKey.peak); p > shrinkFloor {
			t.Errorf("a map was made for %d", p)
		}
		if q.running.lists[0].first != nil || q.running.n != 0 {
			t.Error("leases are left")
		}
		if bytes, jobs := r.d.broker.capacity.used(); bytes != 0 || jobs != 0 {
			t.Errorf("%d bytes and %d jobs are counted", bytes, jobs)
		}
	})
}
