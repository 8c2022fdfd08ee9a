package amqp

import (
	"context"
	"sync"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// connector makes the connections for one purpose, one after the other: the next
// one when the last has ended and a call needs it, once, so that the caller learns
// of a failure at once and decides when to try again.
type connector struct {
	config  *config
	purpose string
	// dialing holds a token while a call connects.
	dialing chan struct{}

	// life is the context of dials; end ends it.
	life context.Context
	end  context.CancelFunc

	mu sync.Mutex // guards following
	// last is the last connection, alive or not.
	last   *connection
	closed bool
}

// newConnector makes a connector, and no connection yet.
func newConnector(c *config, purpose string) *connector {
	k := &connector{config: c, purpose: purpose, dialing: make(chan struct{}, 1)}
	k.life, k.end = context.WithCancel(context.Background())
	return k
}

// live is the connection if it lives, else nil.
func (c *connector) live() (*connection, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, driver.ErrClosed
	}
	if c.last == nil {
		return nil, nil
	}
	if !c.last.alive() || c.last.hungUp() {
		c.last.cut() // frees what hangs on it: see explain
		return nil, nil
	}
	return c.last, nil
}

// connection returns the connection that lives, or connects.
func (c *connector) connection(ctx context.Context) (*connection, error) {
	if conn, err := c.live(); conn != nil || err != nil {
		return conn, err
	}
	select {
	case c.dialing <- struct{}{}:
		defer func() { <-c.dialing }()
	case <-ctx.Done():
		return nil, fault.NotSent{Err: ctx.Err()}
	}
	if conn, err := c.live(); conn != nil || err != nil {
		return conn, err
	}
	dialing, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	conn, err := c.config.dial(dialing, c.purpose)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		if c.closed {
			err = driver.ErrClosed
		}
		return nil, err
	}
	if c.closed {
		conn.cut()
		<-conn.ended
		return nil, driver.ErrClosed
	}
	c.last = conn
	return conn, nil
}

// close ends the connection, and keeps others from being made.
func (c *connector) close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	last := c.last
	c.mu.Unlock()
	c.end()
	if last == nil {
		return nil
	}
	return last.close(ctx)
}
