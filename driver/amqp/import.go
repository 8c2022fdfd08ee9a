package amqp

import (
	"context"
	"errors"
	"fmt"
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
		if err := checkImport(op, queue, e); err != nil {
			return nil, err
		}
		return s.imported(ctx, n, e, now)
	})
}

// checkImport refuses an entry beyond the bounds, which no core should pass.
func checkImport(op, queue string, e *driver.Entry) error {
	if err := checkBody(op, queue, &e.Message); err != nil {
		return err
	}
	if min(e.Failures, e.Bounces, e.Deliveries) < 0 {
		return faults.Refuse(op, queue, driver.ErrConfig, errors.New("a count is below zero"), "")
	}
	switch e.State {
	case driver.StateScheduled:
		return checkDelay(op, queue, e.Delay)
	case driver.StateWaiting, driver.StateDead:
		if e.Delay != 0 {
			return faults.Refuse(op, queue, driver.ErrConfig, fmt.Errorf("a job that is %s has a delay of %s", e.State, e.Delay), "")
		}
		return nil
	}
	return faults.Refuse(op, queue, driver.ErrConfig, fmt.Errorf("the state %d is none", e.State), "")
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
