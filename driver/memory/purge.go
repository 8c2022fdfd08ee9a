package memory

import (
	"context"

	"github.com/batch-go/batch/driver"
)

// Purge removes the jobs that wait, those behind another job of their group
// included, a batch at a time.
func (d *Driver) Purge(ctx context.Context, queue string) (int, error) {
	purged := 0
	var until uint64 // the last job that was there when it began
	for {
		q, now, err := d.begin(ctx, "purge", queue)
		if err != nil {
			return purged, err
		}
		if until == 0 {
			until = q.lastSeq
		}
		n := q.purge(until)
		q.end(now)
		purged += n
		if n < movedBatch {
			return purged, nil
		}
	}
}

// purge removes at most movedBatch waiting jobs up to a sequence number, and returns
// how many. q.mu must be held.
func (q *queueState) purge(until uint64) int {
	n := 0
	for _, list := range q.waitingLists() {
		for j := list.first(); j != nil && j.seq <= until && n < movedBatch; j = list.first() {
			q.drop(j, driver.StateWaiting)
			n++
		}
	}
	return n
}
