package memory

import (
	"context"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// Settle ends deliveries, under one lock.
func (c *consumer) Settle(ctx context.Context, settlements []driver.Settlement) []error {
	if len(settlements) == 0 {
		return nil
	}
	q, _, now, err := c.begin(ctx, "settle", len(settlements))
	if err != nil {
		return fault.All(len(settlements), err)
	}
	var errs []error
	var bytes int64
	var jobs int
	for i := range settlements {
		j, err := q.settle(&settlements[i], now)
		if err != nil {
			errs = fault.Set(errs, len(settlements), i, err)
		}
		if j != nil {
			bytes += j.size
			jobs++
		}
	}
	q.capacity.free(bytes, jobs)
	q.end(now)
	return errs
}

// settle ends one delivery. It returns the job if that is done, so that its
// capacity becomes free. q.mu must be held.
func (q *queueState) settle(s *driver.Settlement, now instant) (*job, error) {
	l := q.running.held(s.Delivery)
	if l == nil {
		return nil, faults.LeaseLost("settle", q.name)
	}
	if l.locked != nil {
		return nil, faults.Refuse("settle", q.name, driver.ErrUnavailable, errInTx, "commit it or roll it back")
	}
	if err := faults.CheckSettlement(q.name, s, maxDelay); err != nil {
		return nil, err
	}
	switch s.Outcome {
	case driver.OutcomeDone:
		j := q.running.remove(l)
		q.dropFromGroup(j)
		return j, nil
	case driver.OutcomeRetry:
		j := q.running.remove(l)
		j.record(s)
		if s.Delay > 0 {
			q.schedule(j, now+s.Delay)
		} else {
			q.requeue(j, now)
		}
	case driver.OutcomeRelease:
		q.wait(q.running.remove(l), now)
	case driver.OutcomeDead:
		j := q.running.remove(l)
		j.record(s)
		if s.Strip {
			q.capacity.free(j.strip(), 0)
		}
		q.dropFromGroup(j)
		q.addDead(j, s.Reason, now)
	}
	return nil, nil
}
