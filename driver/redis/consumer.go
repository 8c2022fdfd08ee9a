package redis

import (
	"context"
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
	"github.com/batch-go/batch/internal/lifecycle"
	"github.com/batch-go/batch/internal/wire"
)

// consumer receives from one queue; settling and extending are its holder's.
// Besides the calls on it, no goroutine is its own but for moments: its listener and the
// sweeper are shared with the driver's other consumers.
type consumer struct {
	*holder
	fetcher *fetcher
	waker   *waker
	member  *member
	ears    *ears
	sweeper *sweeper

	stops, ending lifecycle.Closing // Stop and Close, once each
}

// Consume opens a consumer. It sends nothing: Redis makes the consumer of a group
// when it first reads.
func (d *Driver) Consume(ctx context.Context, queue string, options driver.ConsumeOptions) (driver.Consumer, error) {
	if err := ctx.Err(); err != nil {
		return nil, fail("consume", queue, fault.NotSent{Err: err})
	}
	if options.Lease < minLease || options.Lease > maxLease {
		return nil, faults.Refuse("consume", queue, driver.ErrConfig,
			fmt.Errorf("a lease of %s is not between %s and %s", options.Lease, minLease, maxLease), "")
	}
	lease := time.Duration(wire.Millis(options.Lease)) * time.Millisecond
	h := newHolder(d.conn, queue, d.names(queue), lease)
	f := &fetcher{holder: h}
	f.alarm = newAlarm(func() { h.work.Go(func() { h.moveDue(f.alarm) }) })
	c := &consumer{holder: h, fetcher: f, waker: &waker{fetcher: f}, ears: d.ears, sweeper: d.sweeper}
	h.report = c.waker.wakeAll
	c.member = d.ears.join(c.waker)
	c.waker.began = c.member.begin
	// This comes first: what Attach took in, Close may have closed by the next line.
	d.sweeper.add(c.waker)
	if !d.conn.life.Attach(c) {
		_ = d.sweeper.remove(ctx, c.waker)
		_ = d.ears.leave(ctx, c.member) // waits for nothing: no Receive ever did
		return nil, closed("consume", queue)
	}
	return c, nil
}

// Lease is the one that the consumer was opened with, in whole ms.
func (c *consumer) Lease() time.Duration { return c.lease }

// Stop ends receiving. What the server handed out for a call that did not return it is
// given back, as if it had not been handed out. Due jobs and lapsed leases are looked
// after until Close.
func (c *consumer) Stop(ctx context.Context) error {
	if !c.stops.Begin(ctx) {
		return nil
	}
	defer c.stops.Finish()
	return fail("stop consumer", c.queue, c.endReceiving(ctx))
}

// endReceiving is what Stop does, and Close again in case Stop's ctx ended first.
func (c *consumer) endReceiving(ctx context.Context) error {
	c.stop()
	unblocked := c.ears.leave(ctx, c.member)
	if err := c.receiving.Wait(ctx); err != nil {
		return err
	}
	return unblocked
}

// Close ends the consumer.
func (c *consumer) Close(ctx context.Context) error {
	if !c.ending.Begin(ctx) {
		return nil
	}
	defer c.ending.Finish()
	defer c.conn.life.Detach(c)
	if c.stops.Begin(ctx) {
		defer c.stops.Finish()
	}
	err := c.endReceiving(ctx)
	c.end()
	c.fetcher.alarm.stop()
	if err := c.sweeper.remove(ctx, c.waker); err != nil {
		return fail("close consumer", c.queue, err)
	}
	if err := c.work.Wait(ctx); err != nil {
		return fail("close consumer", c.queue, err)
	}
	if err == nil {
		unblock := c.names.unblock(c.name)
		_, err = c.conn.eval(ctx, closeScript, append(closeScript.args(c.names, 1, unblock), c.name))
	}
	return fail("close consumer", c.queue, err)
}
