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
// Besides the calls on it, up to three goroutines work for it: watchDue and watchLapsed
// until Close, and the waker's while a Receive waits.
type consumer struct {
	*holder
	fetcher *fetcher
	waker   *waker

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
	f := &fetcher{holder: h, alarm: newAlarm()}
	c := &consumer{holder: h, fetcher: f, waker: &waker{fetcher: f, block: d.block, patience: patience}}
	h.report = c.waker.wakeAll
	if !d.conn.life.Attach(c) {
		return nil, closed("consume", queue)
	}
	// If Close came between, neither runs.
	h.work.Go(func() { h.watchDue(f.alarm) })
	h.work.Go(h.watchLapsed)
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

// endReceiving is what Stop does, and Close again in case Stop's ctx ended first. It
// ends a BLPOP that waits by a push to a list of the consumer's own: that works through
// proxies, in a cluster and without the permission for CLIENT, and cuts no connection.
func (c *consumer) endReceiving(ctx context.Context) error {
	c.stop()
	unblocked := c.waker.unblock(ctx)
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
	if err := c.work.Wait(ctx); err != nil {
		return fail("close consumer", c.queue, err)
	}
	if err == nil {
		unblock := c.names.unblock(c.name)
		_, err = c.conn.eval(ctx, closeScript, append(closeScript.args(c.names, 1, unblock), c.name))
	}
	return fail("close consumer", c.queue, err)
}
