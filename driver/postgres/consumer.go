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

	// calls are those under way, and fetches their looks at the queue, which go on when the ctx of
	// a call has ended.
	calls, receives, fetches lifecycle.Gate
	stops, ending            lifecycle.Closing
	halting                  sync.Once
	stopped                  chan struct{}
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

// Stop ends receiving. It waits until what was handed out to a call that had ended is given back.
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
	return c.fetches.Wait(ctx)
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
