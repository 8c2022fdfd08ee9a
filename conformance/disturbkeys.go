package conformance

import (
	"context"
	"fmt"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var disturbKeyCases = []Case{
	{Name: "disturbed-groups", Rule: "While connections are cut, delayed, refused and silent at random, the jobs of a group that were confirmed one after the other run one after the other.", Needs: []string{needsOpenAt, "Grouper"}, leases: true, timed: true, run: caseDisturbedGroups},
	{Name: "disturbed-unique", Rule: "While connections are cut, delayed, refused and silent at random, one job of each key runs, however often it is enqueued.", Needs: []string{needsOpenAt, "Deduplicator"}, leases: true, timed: true, run: caseDisturbedUnique},
	{Name: "disturbed-delays", Rule: "While connections are cut, delayed, refused and silent at random, no delayed job is early or lost.", Needs: []string{needsOpenAt, "Delayer"}, leases: true, timed: true, run: caseDisturbedDelays},
}

// enqueueAs enqueues one job with the options that e describes, and records what was
// told. It may be called from any goroutine.
func enqueueAs[D driver.Driver](x *process, q *batch.Queue[D], n int, e Event, options ...batch.Option[D]) {
	ctx, cancel := context.WithTimeout(x.ctx, enqueueWithin/2)
	defer cancel()
	e.Op, e.ID, e.Worker = Enqueueing, name(n), x.name
	x.history.Add(e)
	receipt, err := q.Enqueue(ctx, task{N: n}, append(options, batch.ID(q, e.ID))...)
	e.Delay = 0
	if err == nil && receipt.Duplicate {
		e.Op = Duplicate
		x.history.Add(e)
		return
	}
	x.toldOf(e, err)
}

func caseDisturbedGroups(s *stage) {
	const groups = 4
	s.disturbAll(12, func(x *process, ended context.Context, which int) {
		q := queueOf[batch.Grouper](x.stage, x.d)
		for n := which * far; ended.Err() == nil; n++ {
			group := fmt.Sprintf("group-%d-%d", which, n%groups)
			enqueueAs(x, q, n, Event{Group: group}, batch.Group(q, group))
			_ = busy(ended, 30*time.Millisecond)
		}
	})
}

func caseDisturbedUnique(s *stage) {
	s.disturbAll(12, func(x *process, ended context.Context, which int) {
		q := queueOf[batch.Deduplicator](x.stage, x.d)
		window := q.Driver().DedupWindow()
		for n := which * far; ended.Err() == nil; n += 3 {
			key := fmt.Sprintf("key-%d", n)
			begin := time.Now()
			for i := range 3 {
				if time.Since(begin) < window/2 { // later its window may be over
					enqueueAs(x, q, n+i, Event{Key: key}, batch.Unique(q, key))
				}
			}
			_ = busy(ended, 30*time.Millisecond)
		}
	})
}

func caseDisturbedDelays(s *stage) {
	s.disturbAll(12, func(x *process, ended context.Context, which int) {
		q := queueOf[batch.Delayer](x.stage, x.d)
		for n := which * far; ended.Err() == nil; n++ {
			delay := time.Duration(n%8) * 100 * time.Millisecond
			enqueueAs(x, q, n, Event{Delay: delay}, batch.Delay(q, delay))
			_ = busy(ended, 30*time.Millisecond)
		}
	})
}
