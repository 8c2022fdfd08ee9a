package memory

import (
	"context"
	"errors"

	"github.com/batch-go/batch/driver"
)

// Receive takes what is available, or waits until something is.
func (c *consumer) Receive(ctx context.Context, max int) ([]*driver.Delivery, error) {
	q, sub := c.current()
	deliveries, err := q.receive(ctx, sub, max)
	if !errors.Is(err, driver.ErrNotFound) || c.resubscribe(ctx, sub) != nil {
		return deliveries, err
	}
	q, sub = c.current()
	return q.receive(ctx, sub, max)
}

// receive is Receive on one queue.
func (q *queueState) receive(ctx context.Context, sub *subscription, max int) ([]*driver.Delivery, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := faults.CheckReceive(q.name, max, maxBatch); err != nil {
		return nil, err
	}
	now := q.begin()
	if gone := sub.receivable(); gone != nil {
		q.mu.Unlock()
		return nil, fail("receive", q.name, gone)
	}
	if n := q.available() - q.waiters.claims; n > 0 {
		return q.handOut(sub, min(n, max), now), nil
	}
	w := sub.spare
	sub.spare = nil
	if w == nil {
		w = &waiter{sub: sub, signal: make(chan struct{}, 1)}
	}
	q.waiters.pushBack(w)
	for {
		q.setTimer(now)
		q.mu.Unlock()
		var err error
		select {
		case <-w.signal:
		case <-ctx.Done():
			err = ctx.Err()
		}
		now = q.begin()
		gone := sub.receivable()
		n := 0
		if claims := q.waiters.claims; w.woken {
			n = min((q.available()+claims-1)/claims, max)
			q.waiters.dropClaim(w)
		} else {
			q.waiters.remove(w)
		}
		switch {
		case gone != nil:
			err = fail("receive", q.name, gone)
			fallthrough
		case err != nil:
			q.end(now) // the claim goes to the next
			return nil, err
		case n > 0:
			sub.spare = w
			return q.handOut(sub, n, now), nil
		}
		// Paused, deleted or taken in between. The call keeps its turn.
		q.waiters.pushFront(w)
	}
}

// handOut hands the next n jobs out and ends the operation. q.mu must be held.
func (q *queueState) handOut(sub *subscription, n int, now instant) []*driver.Delivery {
	deliveries := make([]*driver.Delivery, n)
	for i := range deliveries {
		deliveries[i] = q.running.add(q.takeReady(), sub.leases, now)
	}
	q.end(now)
	return deliveries
}
