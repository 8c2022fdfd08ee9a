package nats

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/lifecycle"
)

// consumer implements driver.Consumer.
type consumer struct {
	d      *Driver
	n      *names
	lease  time.Duration
	alone  bool // one server has the queue, and no other can get it
	puller *puller
	// halting is taken by the one Stop or Close that ends receiving, and halted says
	// that it has ended.
	halting chan struct{}
	halted  atomic.Bool
	// deletions counts how often the queue, or its consumer on the server, may have been
	// found to be deleted.
	deletions atomic.Uint64
	// nextLook is when overdue jobs are looked for again, and trouble what was found
	// wrong then, for a Receive to tell.
	nextLook atomic.Pointer[time.Time]
	trouble  atomic.Pointer[error]

	mu    sync.Mutex         // guards following
	ready []*driver.Delivery // taken over, for the next Receive

	calls      lifecycle.Gate // Receive, Settle and Extend
	receives   lifecycle.Gate // Receive
	background lifecycle.Gate // what requeueLater, takeOver and look do; shut when the receives have ended
	closing    lifecycle.Closing
}

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
	c := &consumer{d: d, n: n, lease: options.Lease, alone: info.Cluster == nil, halting: make(chan struct{}, 1)}
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

// begin begins a call of the consumer, until end.
func (c *consumer) begin(ctx context.Context) error {
	if err := c.d.life.Begin(ctx); err != nil {
		return err
	}
	if !c.calls.Enter() {
		c.d.life.End()
		return driver.ErrClosed
	}
	return nil
}

// end ends a call that begin began.
func (c *consumer) end() {
	c.calls.Exit()
	c.d.life.End()
}

// epoch is the current epoch.
func (c *consumer) epoch() epoch {
	return epoch{losses: c.d.conn.losses.Load(), deletions: c.deletions.Load()}
}

// requeueTime bounds a requeue. The server hands out once more what is not done by
// then.
const requeueTime = 10 * time.Second

// requeueLater requeues entries that are not handed on, in the background: those
// that came with them do not wait for it.
func (c *consumer) requeueLater(messages []*natsgo.Msg) {
	if len(messages) == 0 {
		return
	}
	// After Close nothing is requeued: it comes back when its lease ends.
	_ = c.background.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), requeueTime)
		defer cancel()
		_ = c.requeue(ctx, messages) // as above
	})
}

// requeue requeues entries, unless the driver is closed.
func (c *consumer) requeue(ctx context.Context, messages []*natsgo.Msg) error {
	if err := c.d.life.Begin(ctx); err != nil {
		return err
	}
	defer c.d.life.End()
	return c.d.requeue(ctx, c.n, messages)
}

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
