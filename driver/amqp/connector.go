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

	mu sync.Mutex // guards following
	// last is the last connection, alive or not.
	last   *connection
	closed bool
}

// newConnector makes a connector, and no connection yet.
func newConnector(c *config, purpose string) *connector {
	return &connector{config: c, purpose: purpose, dialing: make(chan struct{}, 1)}
}

// live is the connection if it lives, else nil.
func (c *connector) live() (*connection, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, driver.ErrClosed
	}
	if c.last != nil && c.last.alive() {
		return c.last, nil
	}
	return nil, nil
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
	conn, err := c.config.dial(ctx, c.purpose)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
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
	if last == nil {
		return nil
	}
	return last.close(ctx)
}
