package sqs

import (
	"context"
	"errors"

	"github.com/batch-go/batch/driver"
)

// Import sends jobs with their history as Enqueue sends new ones, dead letters to
// the queue for these. It refuses those with a level, a group or a dedup key, which
// this driver could not keep.
func (b *base) Import(ctx context.Context, queue string, entries []*driver.Entry) []driver.Result {
	const op = "import"
	return b.store(ctx, op, queue, len(entries), func(i int) (*entry, error) {
		e := entries[i]
		if err := faults.CheckEntry(queue, e, maxDelay, maxCount); err != nil {
			return nil, err
		}
		if e.Level != driver.Normal || e.Group != "" || e.DedupKey != "" {
			return nil, faults.Refuse(op, queue, driver.ErrUnsupported,
				errors.New("the job has a level, a group or a dedup key"), "import it without them")
		}
		return b.importedEntry(e), nil
	})
}

// importedEntry writes a job that was elsewhere.
func (b *base) importedEntry(e *driver.Entry) *entry {
	h := history{
		Failures: e.Failures, Error: e.LastError,
		Bounces: e.Bounces, Bounced: millisOf(e.BouncedSince), Deliveries: e.Deliveries,
	}
	if e.State != driver.StateDead {
		return b.newEntry(&e.Message, h)
	}
	h.Reason, h.Died = e.Reason, millisOf(e.DeadAt)
	imported := b.newEntry(&e.Message, h)
	imported.to = toDead
	return imported
}
