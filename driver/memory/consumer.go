package memory

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
)

// consumer implements driver.Consumer. It outlives the queue: when that is
// deleted its subscription is gone for good; if the queue is then declared again,
// the next Receive makes one on the new queue.
type consumer struct {
	d     *base
	name  string // of the queue
	lease time.Duration

	mu    sync.Mutex // guards following
	queue *queueState
	sub   *subscription // on that
	ended bool          // stopped or closed
}

// Consume opens a consumer. Prefetch is not used: only Receive hands out jobs.
func (d *base) Consume(ctx context.Context, queue string, options driver.ConsumeOptions) (driver.Consumer, error) {
	if options.Lease < minLease || options.Lease > maxLease {
		return nil, wrongArgument("consume", queue, fmt.Errorf("the lease is %s, which is not from %s to %s", options.Lease, minLease, maxLease))
	}
	c := &consumer{d: d, name: queue, lease: options.Lease}
	if err := c.subscribe(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// Lease is the length that the consumer was opened with.
func (c *consumer) Lease() time.Duration { return c.lease }

// Stop ends receiving. There is nothing to give back: only Receive hands out jobs.
func (c *consumer) Stop(context.Context) error {
	c.end(func(q *queueState, sub *subscription) { q.stop(sub) })
	return nil
}

// Close ends the consumer. What it holds stays leased until the leases end.
func (c *consumer) Close(context.Context) error {
	c.end(func(q *queueState, sub *subscription) {
		q.unsubscribe(sub, driver.ErrClosed)
		sub.gone = driver.ErrClosed // also if it was gone before
	})
	return nil
}

// end calls do with the queue locked, and no subscription follows the present one.
func (c *consumer) end(do func(*queueState, *subscription)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	c.queue.mu.Lock()
	defer c.queue.mu.Unlock()
	do(c.queue, c.sub)
}

// subscribe subscribes to the queue that has the consumer's name now. c.mu must
// be held, or nobody else have the consumer.
func (c *consumer) subscribe(ctx context.Context) error {
	q, _, err := c.d.begin(ctx, "consume", c.name)
	if err != nil {
		return err
	}
	defer q.mu.Unlock()
	c.queue, c.sub = q, q.subscribe(c.d.conn, c.lease)
	return nil
}

// resubscribe is subscribe if the subscription that is gone is still the
// consumer's: else another Receive was first.
func (c *consumer) resubscribe(ctx context.Context, gone *subscription) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sub != gone {
		return nil
	}
	if c.ended {
		return closed("receive", c.name)
	}
	return c.subscribe(ctx)
}

// current is the queue and the consumer's subscription on it.
func (c *consumer) current() (*queueState, *subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queue, c.sub
}

// begin begins a call for n deliveries, which locks the queue. The caller ends
// that, unless there is an error. On a queue that was deleted the deliveries are
// what is lost.
func (c *consumer) begin(ctx context.Context, op string, n int) (*queueState, *subscription, instant, error) {
	if err := fail(op, c.name, ctx.Err()); err != nil {
		return nil, nil, 0, err
	}
	if n > maxBatch {
		return nil, nil, 0, tooLarge(op, c.name, fmt.Errorf("%d deliveries in a call, which takes %d", n, maxBatch))
	}
	q, sub := c.current()
	now := q.begin()
	err := sub.usable()
	if err == driver.ErrNotFound {
		err = driver.ErrLeaseLost
	}
	if err != nil {
		q.mu.Unlock()
		return nil, nil, 0, fail(op, c.name, err)
	}
	return q, sub, now, nil
}
