package nats

import (
	"context"
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
	// holders are who holds what if the server is in this process; else nil.
	holders *holders
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
	if len(messages) > 0 {
		c.requeueAside(messages, func() {})
	}
}

// requeueAside requeues entries in the background, and calls ended then.
func (c *consumer) requeueAside(messages []*natsgo.Msg, ended func()) {
	going := c.background.Go(func() {
		defer ended()
		ctx, cancel := context.WithTimeout(context.Background(), requeueTime)
		defer cancel()
		_ = c.requeue(ctx, messages) // as above
	})
	if !going {
		ended() // after Close nothing is requeued: it comes back when its lease ends
	}
}

// putBack requeues entries that came before their time, and returns when that is done or
// ctx ends: there may be many, and the next are not to be pulled before.
func (c *consumer) putBack(ctx context.Context, early []*natsgo.Msg) {
	if len(early) == 0 {
		return
	}
	done := make(chan struct{})
	c.requeueAside(early, func() { close(done) })
	select {
	case <-done:
	case <-ctx.Done():
	case <-c.puller.done:
	}
}

// requeue requeues entries, unless the driver is closed.
func (c *consumer) requeue(ctx context.Context, messages []*natsgo.Msg) error {
	if err := c.d.life.Begin(ctx); err != nil {
		return err
	}
	defer c.d.life.End()
	return c.d.requeue(ctx, c.n, messages)
}
