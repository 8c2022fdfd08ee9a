package sqs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/lifecycle"
)

// consumer receives from one queue.
type consumer struct {
	poller
	closing lifecycle.Closing
	holder  *holder
}

// Consume opens a consumer. It polls once Receive is called.
func (b *base) Consume(ctx context.Context, queue string, options driver.ConsumeOptions) (driver.Consumer, error) {
	const op = "consume"
	ctx, end, err := b.begin(ctx, op, queue)
	if err != nil {
		return nil, err
	}
	defer end()
	if options.Lease < minLease || options.Lease > maxLease {
		return nil, faults.Refuse(op, queue, driver.ErrConfig,
			fmt.Errorf("a lease of %s is not between %s and %s", options.Lease, minLease, maxLease), "")
	}
	q, err := b.resolve(ctx, queue)
	if err != nil {
		return nil, fail(op, queue, err)
	}
	c := &consumer{poller: poller{
		base: b, queue: queue, lease: options.Lease, visibility: min(seconds(options.Lease+maxLocalDelay), seconds(maxLease)),
		stopped: make(chan struct{}), sources: make([]source, len(q.sources())),
	}}
	c.holder = newHolder(&c.poller, options.Prefetch)
	for i := range c.sources {
		c.sources[i].allowed = 1
	}
	c.ctx, c.cutOff = context.WithCancel(b.alive)
	if !b.handle.Attach(c) {
		c.cutOff()
		return nil, closed(op, queue)
	}
	return c, nil
}

// Lease is what the consumer was opened with. SQS counts whole seconds, and holds
// a job for up to two more.
func (c *consumer) Lease() time.Duration { return c.lease }

// begin is base.begin for a consumer that may be closed by itself.
func (c *consumer) begin(ctx context.Context, op string) (_ context.Context, end func(), err error) {
	if c.closing.Begun() {
		return nil, nil, closed(op, c.queue)
	}
	return c.base.begin(ctx, op, c.queue)
}

// deliveryError is the error of one delivery. Where its queue was deleted, the
// delivery is lost with it.
func (c *consumer) deliveryError(op string, err error) error {
	err = fail(op, c.queue, err)
	if errors.Is(err, driver.ErrNotFound) {
		c.base.forget(c.queue, err)
		return faults.LeaseLost(op, c.queue)
	}
	return err
}

// Stop ends receiving. It waits for the polls to end, which takes the URL's wait at
// most, and for what they bring to be given back. If ctx ends first, that goes on
// until Close.
func (c *consumer) Stop(ctx context.Context) error {
	c.stop()
	if err := c.gate.Wait(ctx); err != nil {
		return fail("stop", c.queue, err)
	}
	return fail("stop", c.queue, c.takeFailed())
}

// Close ends the consumer. It stops it as Stop does. If ctx ends first, it cuts the
// polls off, and a job that SQS was handing out just then stays hidden for the
// length of a lease; SQS counts that as a holder that vanished.
func (c *consumer) Close(ctx context.Context) error {
	if !c.closing.Begin(ctx) {
		return nil
	}
	defer c.closing.Finish()
	c.stop()
	err := c.gate.Wait(ctx)
	if err != nil {
		c.cutOff()
		c.gate.WaitAll()
	}
	c.cutOff()
	c.base.handle.Detach(c)
	return fail("close consumer", c.queue, err)
}
