package amqp

import (
	"context"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
	"github.com/batch-go/batch/internal/lifecycle"
)

// consumer implements driver.Consumer. What it holds belongs to its session, the
// channel of the moment; what moves delayed jobs on is its mover. Each is made
// anew by the next Receive when it has ended, once.
type consumer struct {
	*source
	connector *connector // of the connection with its channels
	endLife   context.CancelFunc
	opening   chan struct{} // holds a token while a call opens

	receives lifecycle.Gate // Receive calls under way, until Stop
	calls    lifecycle.Gate // the others
	stopping lifecycle.Closing
	closing  lifecycle.Closing

	mu sync.Mutex // guards following, and is held when life ends
	// session and mover are the last of their kind, alive or not.
	session *session
	mover   *mover
}

// Consume opens a consumer. The lease is the connection: options.Lease is not
// used.
func (b *base) Consume(ctx context.Context, queue string, options driver.ConsumeOptions) (driver.Consumer, error) {
	const op = "consume"
	if err := b.calls.Begin(ctx); err != nil {
		return nil, fail(op, queue, err)
	}
	defer b.calls.End()
	from := &source{base: b, names: b.names(queue), prefetch: min(max(options.Prefetch, 1), 1<<16-1)}
	c := &consumer{source: from, connector: b.consumers.take(queue), opening: make(chan struct{}, 1)}
	from.life, c.endLife = context.WithCancel(context.Background())
	if _, err := c.open(ctx); err != nil {
		_ = c.Close(ctx)
		return nil, fail(op, queue, err)
	}
	if !b.calls.Attach(c) {
		_ = c.Close(ctx)
		return nil, closed(op, queue)
	}
	return c, nil
}

// Lease is zero: RabbitMQ holds a delivery for as long as the channel lives on
// which it came.
func (c *consumer) Lease() time.Duration { return 0 }

// begin counts a call as under way until gate.Exit.
func begin(ctx context.Context, gate *lifecycle.Gate) error {
	if !gate.Enter() {
		return driver.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		gate.Exit()
		return fault.NotSent{Err: err}
	}
	return nil
}

// open returns the session that lives, or opens one and the mover beside it.
func (c *consumer) open(ctx context.Context) (*session, error) {
	if s := c.alive(); s != nil {
		return s, nil
	}
	ctx, cancel := c.within(ctx)
	defer cancel()
	select {
	case c.opening <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.life.Done():
		return nil, driver.ErrClosed
	}
	if s := c.alive(); s != nil {
		<-c.opening
		return s, nil
	}
	conn, err := c.connector.connection(ctx)
	if err != nil {
		<-c.opening
		return nil, err
	}
	err = c.base.await(ctx, func() error {
		defer func() { <-c.opening }()
		return conn.explain(c.openOn(ctx, conn))
	})
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.Err() != nil {
		return nil, driver.ErrClosed
	}
	return c.session, nil
}

// alive is the session if it lives and the mover does.
func (c *consumer) alive() *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == nil || !c.session.alive() || c.mover == nil || !c.mover.alive() {
		return nil
	}
	return c.session
}

// openOn makes what does not live. Only one call is under way.
func (c *consumer) openOn(ctx context.Context, conn *connection) error {
	c.mu.Lock()
	s, m := c.session, c.mover
	c.mu.Unlock()
	var err error
	if s == nil || !s.alive() {
		if s, err = newSession(c.source, conn); err != nil {
			return err
		}
	}
	if m == nil || !m.alive() {
		m, err = newMover(c.source, conn, c.loseSession)
		if isGone(err) { // the hop queue, or all of the queue
			if err = c.base.restore(ctx, c.names); err == nil {
				m, err = newMover(c.source, conn, c.loseSession)
			}
		}
		if err != nil {
			c.keep(s, nil)
			return err
		}
		m.awaitBacklog(ctx)
	}
	c.keep(s, m)
	return nil
}

// keep takes over what was opened, unless the consumer was stopped meanwhile.
func (c *consumer) keep(s *session, m *mover) {
	c.mu.Lock()
	ended := c.life.Err() != nil
	if !ended {
		c.session = s
		if m != nil {
			c.mover = m
		}
	}
	c.mu.Unlock()
	if ended {
		if m != nil {
			m.stop(context.Background())
		}
		s.stop()
	}
}

// loseSession ends the session if its queue was deleted. The mover, which calls it,
// knows of the hop queue alone, which somebody may have removed.
func (c *consumer) loseSession(err error) {
	ctx, cancel := context.WithTimeout(c.base.life, closeTime)
	defer cancel()
	if there, e := c.base.exist(ctx, []string{c.names.main}); there || e != nil {
		return
	}
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
	if s != nil {
		s.end(err)
		s.tasks.Go(s.close)
	}
}

// Stop ends the subscription and the mover, and gives back what they hold: the
// channel stays, for what Receive returned.
func (c *consumer) Stop(ctx context.Context) error {
	if !c.stopping.Begin(ctx) {
		return nil
	}
	defer c.stopping.Finish()
	c.receives.Shut()
	c.mu.Lock()
	c.endLife()
	c.mu.Unlock()
	err := c.base.await(ctx, func() error { return c.giveBack(ctx) })
	return fail("stop", c.names.queue, err)
}

// giveBack is Stop once nothing is opened any more and no Receive begins.
func (c *consumer) giveBack(ctx context.Context) error {
	c.receives.WaitAll() // they end with life
	c.opening <- struct{}{}
	s, m := c.session, c.mover // nothing changes them any more
	<-c.opening
	var err error
	if s != nil {
		err = s.withdraw(ctx)
	}
	if m != nil {
		m.stop(ctx)
	}
	return err
}

// Close ends the consumer. What it has prefetched and not handed out goes back at
// once, as by Stop, and so does what it has handed out and is not settled: when a
// channel ends, the broker makes available again what it held.
func (c *consumer) Close(ctx context.Context) error {
	if !c.closing.Begin(ctx) {
		return nil
	}
	defer c.closing.Finish()
	_ = c.Stop(ctx) // what it could not give back goes back with the channel
	c.calls.Shut()
	c.base.calls.Detach(c)
	err := c.base.await(ctx, func() error {
		c.calls.WaitAll() // settlements end by themselves
		c.mu.Lock()
		s := c.session
		c.mu.Unlock()
		if s != nil {
			s.stop()
		}
		c.base.consumers.give(c.names.queue, c.connector)
		return nil
	})
	return fail("close", c.names.queue, err)
}
