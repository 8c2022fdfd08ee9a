package memory

import (
	"context"
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
)

// consumer receives from one queue for as long as that exists.
type consumer struct {
	d    *Driver
	q    *queue
	term *term

	// q.mu guards following.

	// gone is nil while the consumer is open, else the kind of its errors.
	gone error
	// spare is a waiter for the next Receive that has to wait.
	spare *waiter
}

// attach opens a consumer on a queue that exists.
func (d *Driver) attach(ctx context.Context, queue string, options driver.ConsumeOptions) (*consumer, error) {
	if options.Lease < minLease || options.Lease > maxLease {
		err := fmt.Errorf("the lease is %s, which is not from %s to %s", options.Lease, minLease, maxLease)
		return nil, refuse("consume", queue, driver.ErrConfig, err, "")
	}
	q, _, err := d.lock(ctx, "consume", queue)
	if err != nil {
		return nil, err
	}
	defer q.mu.Unlock()
	q.forgetTerms()
	c := &consumer{d: d, q: q, term: q.termOf(options.Lease)}
	c.term.users++
	q.consumers[c] = struct{}{}
	return c, nil
}

// Lease is the length that the consumer was opened with.
func (c *consumer) Lease() time.Duration { return c.term.length }

// usable is nil, or why the consumer is not. q.mu must be held.
func (c *consumer) usable() error {
	if c.gone == nil {
		return nil
	}
	if c.d.state.Load() == stateClosed {
		return driver.ErrClosed
	}
	return c.gone
}

// Receive takes what is available, or waits until something is.
func (c *consumer) Receive(ctx context.Context, max int) ([]*driver.Delivery, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	q := c.q
	if max < 1 || max > maxBatch {
		return nil, refuse("receive", q.name, driver.ErrConfig, fmt.Errorf("max is %d, which is not from 1 to %d", max, maxBatch), "")
	}
	q.mu.Lock()
	now := q.b.now()
	q.advance(now)
	if gone := c.usable(); gone != nil {
		q.mu.Unlock()
		return nil, refuse("receive", q.name, gone, nil, "")
	}
	if n := q.available() - q.waiters.claims; n > 0 {
		return c.hand(min(n, max), now), nil
	}
	w := c.spare
	c.spare = nil
	if w == nil {
		w = &waiter{c: c, signal: make(chan struct{}, 1)}
	}
	q.waiters.pushBack(w)
	for {
		q.arm(now)
		q.mu.Unlock()
		var err error
		select {
		case <-w.signal:
		case <-ctx.Done():
			err = ctx.Err()
		}
		q.mu.Lock()
		now = q.b.now()
		q.advance(now)
		gone := c.usable()
		n := 0
		if claims := q.waiters.claims; w.woken {
			n = min((q.available()+claims-1)/claims, max)
			q.waiters.dropClaim(w)
		} else {
			q.waiters.remove(w)
		}
		switch {
		case gone != nil:
			err = refuse("receive", q.name, gone, nil, "")
			fallthrough
		case err != nil:
			q.leave(now) // the claim goes to the next
			return nil, err
		case n > 0:
			c.spare = w
			return c.hand(n, now), nil
		}
		// Paused, deleted or taken in between. The call keeps its turn.
		q.waiters.pushFront(w)
	}
}

// hand hands n jobs out and unlocks the queue. q.mu must be held.
func (c *consumer) hand(n int, now instant) []*driver.Delivery {
	deliveries := make([]*driver.Delivery, n)
	for i := range deliveries {
		deliveries[i] = c.q.grant(c.term, now)
	}
	c.q.leave(now)
	return deliveries
}

// Close ends the consumer. What it holds stays leased until the leases end.
func (c *consumer) Close(context.Context) error {
	q := c.q
	q.mu.Lock()
	defer q.mu.Unlock()
	q.drop(c, driver.ErrClosed)
	c.gone = driver.ErrClosed
	return nil
}

// drop takes a consumer off its queue. q.mu must be held.
func (q *queue) drop(c *consumer, why error) {
	if c.gone != nil {
		return
	}
	c.gone = why
	delete(q.consumers, c)
	c.term.users--
	q.forgetTerms()
	q.wakeAll(c)
	if len(q.consumers) == 0 {
		q.disarm()
	}
}

// detach closes the consumers of a handle.
func (q *queue) detach(d *Driver) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for c := range q.consumers {
		if c.d == d {
			q.drop(c, driver.ErrClosed)
		}
	}
}

// crash cuts all consumers and ends all leases.
func (q *queue) crash() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for c := range q.consumers {
		q.drop(c, driver.ErrUnavailable)
	}
	for _, t := range q.terms {
		for t.first != nil {
			q.lose(t.first)
		}
	}
	q.forgetTerms()
}

// end takes the queue apart when it is deleted.
func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.deleted = true
	for c := range q.consumers {
		q.drop(c, driver.ErrNotFound)
	}
	bytes, jobs := q.marks.clear(), 0
	lines := []*line{&q.scheduled, &q.dead}
	for i := range levels {
		lines = append(lines, &q.ready[i], &q.parked[i])
	}
	for _, l := range lines {
		for l.n > 0 {
			bytes += l.pop().size
			jobs++
		}
	}
	for _, t := range q.terms {
		for t.first != nil {
			bytes += q.finish(t.first).size
			jobs++
		}
	}
	q.b.room.free(bytes, jobs)
	q.nready, q.nparked = 0, 0
	q.groups, q.deadID = index{}, index{}
}
