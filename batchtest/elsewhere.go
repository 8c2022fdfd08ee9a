package batchtest

import (
	"context"
	"fmt"
	"slices"

	"github.com/batch-go/batch"
)

// mostElsewhere bounds how many other queues are looked into, and how many jobs of each. It is for a hint.
const mostElsewhere = 100

// elsewhere says where jobs of a kind are that was not found waiting or scheduled in a queue. What cannot be looked up is
// left out: it is a hint beside a failure.
func elsewhere[D batch.Inspector](ctx context.Context, q *batch.Queue[D], kind string) (hints []string) {
	if depth, err := q.Depth(ctx); err == nil && depth.Running > 0 {
		hints = append(hints, jobsAre(depth.Running)+" running, which cannot be looked at")
	}
	if letters, _, err := q.DeadLetters().List(ctx, "", mostElsewhere); err == nil {
		for i := range letters {
			if l := &letters[i]; l.Kind == kind {
				hints = append(hints, fmt.Sprintf("job %s of the kind is a dead letter (%s): %s", l.ID, l.Reason, shorten(l.LastError)))
				break
			}
		}
	}
	lister, ok := any(q.Driver()).(batch.QueueLister)
	if !ok {
		return hints
	}
	names, err := lister.ListQueues(ctx)
	if err != nil {
		return hints
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == q.Name() })
	for _, name := range names[:min(len(names), mostElsewhere)] {
		if n := countKind(ctx, q.Driver(), name, kind); n > 0 {
			hints = append(hints, fmt.Sprintf("queue %s has %d of the kind", name, n))
		}
	}
	return hints
}

// countKind counts the jobs of a kind in a queue, of those that come first.
func countKind(ctx context.Context, d batch.Inspector, queue, kind string) (n int) {
	for _, state := range []batch.State{batch.StateWaiting, batch.StateScheduled} {
		page, _, err := d.List(ctx, queue, state, "", mostElsewhere)
		if err != nil {
			continue
		}
		for i := range page {
			if page[i].Kind == kind {
				n++
			}
		}
	}
	return n
}
