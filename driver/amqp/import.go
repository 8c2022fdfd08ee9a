package amqp

import (
	"context"
	"errors"
	"time"

	"github.com/batch-go/batch/driver"
)

// Import publishes jobs with their history as Enqueue and Settle do, each to the part
// of the queue for its state. A level is kept with the job, whether or not the queue
// has priorities. It refuses a job with a group or a dedup key, which no later
// delivery could show.
func (b *base) Import(ctx context.Context, queue string, entries []*driver.Entry) []driver.Result {
	if len(entries) == 0 {
		return nil
	}
	const op = "import"
	s := scheduler{base: b}
	return b.storeAll(ctx, op, queue, len(entries), func(n *names, i int, now time.Time) (*publication, error) {
		e := entries[i]
		if e.Group != "" || e.DedupKey != "" {
			return nil, faults.Refuse(op, queue, driver.ErrUnsupported, errors.New("the job has a group or a dedup key"), "import it without")
		}
		if err := checkBody(op, queue, &e.Message); err != nil {
			return nil, err
		}
		if err := faults.CheckEntry(queue, e, maxDelay, maxCount); err != nil {
			return nil, err
		}
		return s.imported(ctx, n, e, now)
	})
}

// imported is the publication of an entry. A dead letter that does not say when it
// died died now.
func (s *scheduler) imported(ctx context.Context, n *names, e *driver.Entry, now time.Time) (*publication, error) {
	h := history{
		failures: e.Failures, lastError: e.LastError, bounces: e.Bounces, bouncedSince: e.BouncedSince,
		deliveries: e.Deliveries,
	}
	if e.State != driver.StateDead {
		return s.schedule(ctx, n, encode(&e.Message, h), e.Delay, now)
	}
	died := e.DeadAt
	if died.IsZero() {
		died = now
	}
	return deadLetterOf(n, &e.Message, h, e.Reason, died), nil
}
