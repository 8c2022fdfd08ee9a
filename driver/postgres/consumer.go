package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
	"github.com/batch-go/batch/internal/lifecycle"
	"github.com/batch-go/batch/internal/wire"
)

// consumer receives from one queue. It has no connection of its own.
type consumer struct {
	d     *base
	queue string
	lease time.Duration
	waker *waker

	// calls are those under way, and fetches what they left behind when their ctx ended.
	calls, receives, fetches lifecycle.Gate
	stops, ending            lifecycle.Closing
	halting                  sync.Once
	stopped                  chan struct{}

	mu    sync.Mutex // guards following
	ready []*driver.Delivery
}

// Consume opens a consumer. It sends nothing.
func (d *base) Consume(ctx context.Context, queue string, options driver.ConsumeOptions) (driver.Consumer, error) {
	const op = "consume"
	if err := d.life.Begin(ctx); err != nil {
		return nil, fail(op, queue, err)
	}
	defer d.life.End()
	if options.Lease < minLease || options.Lease > maxLease {
		err := fmt.Errorf("the lease is %s, which is not from %s to %s", options.Lease, minLease, maxLease)
		return nil, faults.Refuse(op, queue, driver.ErrConfig, err, "")
	}
	lease := time.Duration(wire.Millis(options.Lease)) * time.Millisecond
	c := &consumer{d: d, queue: queue, lease: lease, waker: newWaker(queue), stopped: make(chan struct{})}
	d.bell.join(c.waker)
	if !d.life.Attach(c) {
		d.bell.leave(c.waker)
		return nil, closed(op, queue)
	}
	return c, nil
}

// Lease is the one that the consumer was opened with, in whole ms.
func (c *consumer) Lease() time.Duration { return c.lease }

// Stop ends receiving, and gives back what was handed out to a call that had ended.
func (c *consumer) Stop(ctx context.Context) error {
	if !c.stops.Begin(ctx) {
		return nil
	}
	defer c.stops.Finish()
	return fail("stop consumer", c.queue, c.halt(ctx))
}

// halt ends receiving.
func (c *consumer) halt(ctx context.Context) error {
	c.receives.Shut()
	c.halting.Do(func() { close(c.stopped) })
	if err := c.receives.Wait(ctx); err != nil {
		return err
	}
	c.fetches.Shut()
	if err := c.fetches.Wait(ctx); err != nil {
		return err
	}
	rest := c.takeReady(maxBatch)
	if len(rest) == 0 {
		return nil
	}
	settlements := make([]driver.Settlement, len(rest))
	for i, delivery := range rest {
		settlements[i] = driver.Settlement{Delivery: delivery, Outcome: driver.OutcomeRelease}
	}
	for _, err := range c.settle(ctx, settlements) {
		if err != nil {
			return err
		}
	}
	return nil
}

// Close ends the consumer.
func (c *consumer) Close(ctx context.Context) error {
	if !c.ending.Begin(ctx) {
		return nil
	}
	defer c.ending.Finish()
	if c.stops.Begin(ctx) {
		defer c.stops.Finish()
	}
	_ = c.halt(ctx) // what it could not give back comes when its lease ends
	c.calls.Shut()
	_ = c.calls.Wait(ctx)
	c.d.bell.leave(c.waker)
	c.d.life.Detach(c)
	return nil
}

// begin counts a call as under way.
func (c *consumer) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fault.NotSent{Err: err}
	}
	if !c.calls.Enter() {
		return driver.ErrClosed
	}
	return nil
}

// takeReady takes what was handed out and not returned.
func (c *consumer) takeReady(most int) []*driver.Delivery {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(most, len(c.ready))
	taken := c.ready[:n:n]
	c.ready = c.ready[n:]
	return taken
}

// keepReady keeps what was handed out for a call that has ended.
func (c *consumer) keepReady(deliveries []*driver.Delivery) {
	if len(deliveries) == 0 {
		return
	}
	c.mu.Lock()
	c.ready = append(c.ready, deliveries...)
	c.mu.Unlock()
	c.waker.ring()
}
