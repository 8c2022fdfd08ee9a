package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
)

// Consume opens a consumer: inboxes for what it pulls. All consumers of a queue
// pull from the same consumer of the server.
func (d *Driver) Consume(ctx context.Context, queue string, options driver.ConsumeOptions) (driver.Consumer, error) {
	const op = "consume"
	if err := d.life.Begin(ctx); err != nil {
		return nil, fail(op, queue, err)
	}
	defer d.life.End()
	if options.Lease < minLease || options.Lease > maxLease {
		err := fmt.Errorf("the lease is %s, which is not from %s to %s", options.Lease, minLease, maxLease)
		return nil, faults.Refuse(op, queue, driver.ErrConfig, err, "")
	}
	n := d.names(queue)
	info, err := d.consumerInfo(ctx, n, consumerJobs)
	if err != nil {
		return nil, fail(op, queue, err)
	}
	c := &consumer{d: d, n: n, lease: options.Lease, alone: info.Cluster == nil, holders: d.local.holders(n), halting: make(chan struct{}, 1)}
	hasJetStream, _ := d.conn.nc().ConnectedServerJetStream()
	c.puller = &puller{
		conn: d.conn, subject: d.pullSubject(n), expires: pullTime(options.Lease, c.alone),
		near:     c.alone && hasJetStream && d.options.Domain == "",
		giveBack: c.requeueLater, done: make(chan struct{}),
	}
	d.conn.listen(c.puller)
	if !d.life.Attach(c) {
		d.conn.unlisten(c.puller)
		return nil, closed(op, queue)
	}
	return c, nil
}

// pullTime is how long a pull waits. The time of a delivery is not known, only
// that it was after its pull was sent: the shorter the pull, the more of the
// lease is certain. In a cluster a Stop waits for the pull's end; see drain.
func pullTime(lease time.Duration, alone bool) time.Duration {
	longest := 5 * time.Second
	if !alone {
		longest = 2 * time.Second
	}
	return min(max(lease/4, 250*time.Millisecond), longest)
}

// Lease is the length that the consumer was opened with.
func (c *consumer) Lease() time.Duration { return c.lease }

// Stop ends receiving, and gives back what arrived and was never returned.
func (c *consumer) Stop(ctx context.Context) error {
	if c.closing.Begun() {
		return nil
	}
	return fail("stop", c.n.queue, c.halt(ctx))
}

// halt ends receiving. If ctx ends before that has happened, the next call goes on.
func (c *consumer) halt(ctx context.Context) error {
	c.receives.Shut()
	c.puller.shut()
	select {
	case c.halting <- struct{}{}:
		defer func() { <-c.halting }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if c.halted.Load() {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// The receives end now, and what is requeued soon.
	if err := c.receives.Wait(ctx); err != nil {
		return err
	}
	c.background.Shut()
	if err := c.background.Wait(ctx); err != nil {
		return err
	}
	c.release(ctx, c.takeReady(batchSize))
	rest, err := c.puller.drain(ctx)
	if len(rest) > 0 {
		err = errors.Join(err, c.requeue(ctx, rest))
	}
	if err == nil {
		c.halted.Store(true)
	}
	return err
}

// Close ends the consumer. What arrived and was never returned is given back.
func (c *consumer) Close(ctx context.Context) error {
	if !c.closing.Begin(ctx) {
		return nil
	}
	defer c.closing.Finish()
	c.calls.Shut()
	_ = c.halt(ctx) // what it could not give back comes when its lease ends
	_ = c.calls.Wait(ctx)
	c.puller.cut()
	c.d.conn.unlisten(c.puller)
	c.d.life.Detach(c)
	return nil
}
