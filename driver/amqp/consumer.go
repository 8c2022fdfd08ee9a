package amqp

import (
	"context"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
)

// consumer implements driver.Consumer. What it holds belongs to its session, the
// channel of the moment; what moves delayed jobs on is its mover. Each is made
// anew by the next Receive when it has ended, once.
type consumer struct {
	h        *handle
	n        *names
	prefetch int

	closing chan struct{} // closed when Close begins
	closed  chan struct{} // closed when Close has ended
	opening chan struct{} // holds a token while somebody opens

	mu sync.Mutex // guards following
	// session and mover are the last of their kind, alive or not.
	session *session
	mover   *mover
	// link is that on which the queue was last declared, if it was.
	link  *link
	calls sync.WaitGroup // Add only while not closing
	done  bool
}

// Consume opens a consumer. The lease is the connection: options.Lease is not
// used.
func (h *handle) Consume(ctx context.Context, queue string, options driver.ConsumeOptions) (driver.Consumer, error) {
	const op = "consume"
	if err := h.enter(ctx); err != nil {
		return nil, fail(op, queue, err)
	}
	defer h.leave()
	c := &consumer{
		h: h, n: h.names(queue), prefetch: min(max(options.Prefetch, 1), 1<<16-1),
		closing: make(chan struct{}), closed: make(chan struct{}), opening: make(chan struct{}, 1),
	}
	if _, err := c.open(ctx); err != nil {
		_ = c.Close(ctx)
		return nil, fail(op, queue, err)
	}
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		_ = c.Close(ctx)
		return nil, fail(op, queue, errClosed)
	}
	h.consumers[c] = struct{}{}
	h.mu.Unlock()
	return c, nil
}

// Lease is zero: RabbitMQ holds a delivery for as long as the channel lives on
// which it came.
func (c *consumer) Lease() time.Duration { return 0 }

// enter counts a call as under way.
func (c *consumer) enter(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		return errClosed
	}
	if err := ctx.Err(); err != nil {
		return notSent{err}
	}
	c.calls.Add(1)
	return nil
}

// open returns the session that lives, or opens one and the mover beside it.
func (c *consumer) open(ctx context.Context) (*session, error) {
	if s := c.ready(); s != nil {
		return s, nil
	}
	select {
	case c.opening <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.closing:
		return nil, errClosed
	}
	if s := c.ready(); s != nil {
		<-c.opening
		return s, nil
	}
	l, err := c.h.sub.link(ctx)
	if err != nil {
		<-c.opening
		return nil, err
	}
	err = c.h.await(ctx, func() error {
		defer func() { <-c.opening }()
		return lostCall(l, c.reopen(ctx, l))
	})
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		return nil, errClosed
	}
	return c.session, nil
}

// ready is the session if it lives and the mover does.
func (c *consumer) ready() *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == nil || !c.session.alive() || c.mover == nil || !c.mover.alive() {
		return nil
	}
	return c.session
}

// reopen makes what does not live. Only one call is under way.
func (c *consumer) reopen(ctx context.Context, l *link) error {
	c.mu.Lock()
	s, m, before := c.session, c.mover, c.link
	c.mu.Unlock()
	if before != nil && before != l {
		// The broker may be another one than before, or may have lost the queue.
		ch, err := l.conn.Channel()
		if err != nil {
			return err
		}
		if err := c.h.declareAll(ctx, ch, c.n); err != nil {
			_ = ch.Close()
			return err
		}
		_ = ch.Close()
	}
	if s == nil || !s.alive() {
		fresh, err := newSession(c, l)
		if err != nil {
			return err
		}
		s = fresh
	}
	if m == nil || !m.alive() {
		fresh, err := newMover(c, l)
		if err != nil {
			c.keep(l, s, nil)
			return err
		}
		m = fresh
		m.clear(ctx)
	}
	c.keep(l, s, m)
	return nil
}

// keep takes over what was opened, unless the consumer was closed meanwhile.
func (c *consumer) keep(l *link, s *session, m *mover) {
	c.mu.Lock()
	done := c.done
	if !done {
		c.link, c.session = l, s
		if m != nil {
			c.mover = m
		}
	}
	c.mu.Unlock()
	if done {
		if m != nil {
			m.stop(context.Background())
		}
		s.stop()
	}
}

// lose ends the session: its queue was deleted.
func (c *consumer) lose(err error) {
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
	if s != nil {
		s.end(err)
		go func() { _ = s.ch.Close() }()
	}
}

// Receive takes deliveries that the broker has pushed, or waits for some. It
// returns those of the highest levels first.
func (c *consumer) Receive(ctx context.Context, max int) ([]*driver.Delivery, error) {
	const op = "receive"
	if err := c.enter(ctx); err != nil {
		return nil, fail(op, c.n.queue, err)
	}
	defer c.calls.Done()
	for {
		s, err := c.open(ctx)
		if err != nil {
			return nil, fail(op, c.n.queue, err)
		}
		c.mu.Lock()
		m := c.mover
		c.mu.Unlock()
		got, err := s.take(ctx, min(max, batchSize), m)
		if len(got) > 0 {
			return got, nil
		}
		if err == errCancelled {
			// The queue was deleted, or the broker has another reason: consuming
			// again tells which.
			continue
		}
		return nil, fail(op, c.n.queue, err)
	}
}

// Close ends the consumer. What it had prefetched and not handed out goes back at
// once; what it handed out and was not settled as well, as the broker gives back
// what a channel held.
func (c *consumer) Close(ctx context.Context) error {
	c.mu.Lock()
	if c.done {
		c.mu.Unlock()
		select {
		case <-c.closed:
		case <-ctx.Done():
		}
		return nil
	}
	c.done = true
	close(c.closing)
	s, m := c.session, c.mover
	c.mu.Unlock()
	defer close(c.closed)
	c.h.mu.Lock()
	delete(c.h.consumers, c)
	c.h.mu.Unlock()
	err := c.h.await(ctx, func() error {
		if m != nil {
			m.stop(ctx)
		}
		c.calls.Wait() // Receive ends by closing, settlements by themselves
		if s != nil {
			s.retire()
		}
		return nil
	})
	return fail("close", c.n.queue, err)
}
