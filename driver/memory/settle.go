package memory

import (
	"context"
	"fmt"

	"github.com/batch-go/batch/driver"
)

// Settle ends deliveries, under one lock.
func (c *consumer) Settle(ctx context.Context, settlements []driver.Settlement) []error {
	if len(settlements) == 0 {
		return nil
	}
	if err := c.admissible(ctx, "settle", len(settlements)); err != nil {
		return each(len(settlements), err)
	}
	q := c.q
	q.mu.Lock()
	now := q.b.now()
	q.advance(now)
	if err := c.settling("settle"); err != nil {
		q.mu.Unlock()
		return each(len(settlements), err)
	}
	var errs []error
	var bytes int64
	var jobs int
	for i := range settlements {
		j, err := q.settle(&settlements[i], now)
		if err != nil {
			if errs == nil {
				errs = make([]error, len(settlements))
			}
			errs[i] = err
		}
		if j != nil {
			bytes += j.size
			jobs++
		}
	}
	q.b.room.free(bytes, jobs)
	q.leave(now)
	return errs
}

// settle ends one delivery. It returns the job if that is done, for its room.
// q.mu must be held.
func (q *queue) settle(s *driver.Settlement, now instant) (*job, error) {
	l := q.held(s.Delivery)
	if l == nil {
		return nil, refuse("settle", q.name, driver.ErrLeaseLost, nil, "")
	}
	switch s.Outcome {
	case driver.Done:
		j := q.finish(l)
		q.leaveGroup(j)
		return j, nil
	case driver.Retry:
		if s.Delay < 0 || s.Delay > maxDelay {
			err := fmt.Errorf("the delay is %s, which is not from 0 to %s", s.Delay, maxDelay)
			return nil, refuse("settle", q.name, driver.ErrTooLarge, err, "")
		}
		j := q.finish(l)
		j.failures, j.lastError, j.redeliveries = s.Failures, s.Error, 0
		if s.Delay > 0 {
			q.schedule(j, now+s.Delay)
		} else {
			q.comeBack(j)
		}
	case driver.Release:
		j := q.finish(l)
		j.redeliveries = 0
		q.makeReady(j)
	case driver.Dead:
		j := q.finish(l)
		j.failures, j.lastError, j.redeliveries = s.Failures, s.Error, 0
		q.leaveGroup(j)
		q.bury(j, s.Reason, now)
	default:
		return nil, refuse("settle", q.name, driver.ErrConfig, fmt.Errorf("outcome %d is none", s.Outcome), "")
	}
	return nil, nil
}

// Extend renews leases, under one lock.
func (c *consumer) Extend(ctx context.Context, deliveries []*driver.Delivery) []error {
	if len(deliveries) == 0 {
		return nil
	}
	if err := c.admissible(ctx, "extend", len(deliveries)); err != nil {
		return each(len(deliveries), err)
	}
	q := c.q
	q.mu.Lock()
	now := q.b.now()
	q.advance(now)
	if err := c.settling("extend"); err != nil {
		q.mu.Unlock()
		return each(len(deliveries), err)
	}
	var errs []error
	for i, d := range deliveries {
		l := q.held(d)
		if l == nil {
			if errs == nil {
				errs = make([]error, len(deliveries))
			}
			errs[i] = refuse("extend", q.name, driver.ErrLeaseLost, nil, "")
			continue
		}
		l.term.remove(l)
		l.term = c.term
		l.term.push(l, now)
	}
	q.leave(now)
	return errs
}

// admissible is nil, or why a call for n deliveries is refused unseen.
func (c *consumer) admissible(ctx context.Context, op string, n int) error {
	if err := ended(ctx, op, c.q.name); err != nil {
		return err
	}
	if n > maxBatch {
		return refuse(op, c.q.name, driver.ErrTooLarge, fmt.Errorf("%d deliveries in a call, which takes %d", n, maxBatch), "")
	}
	return nil
}

// settling is nil, or why the consumer cannot settle. On a queue that was
// deleted the deliveries are what is lost. q.mu must be held.
func (c *consumer) settling(op string) error {
	gone := c.usable()
	if gone == nil {
		return nil
	}
	if gone == driver.ErrNotFound {
		gone = driver.ErrLeaseLost
	}
	return refuse(op, c.q.name, gone, nil, "")
}
