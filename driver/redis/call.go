package redis

import (
	"context"
	"sync"
	"time"
)

// calls are those that run on their callers' goroutines, and how a connection finds its
// own: the client library hands a context's deadline on to the connection that it has
// chosen, and nothing else of the context. So no two calls have the same deadline.
type calls struct {
	timeout time.Duration // for the answer

	mu       sync.Mutex // guards following
	last     int64      // the last deadline, in Unix ns
	underWay map[int64]*call
}

const (
	// aheadOfTimeout is how much earlier than the client library's own the deadline of a call
	// is, as the library takes the earlier of both. Its clock is up to 50 ms slow.
	aheadOfTimeout = 100 * time.Millisecond
	// shortTimeout is the timeout from which on that makes no difference.
	shortTimeout = 20 * aheadOfTimeout
)

// newCalls makes the calls of a client. It is nil if they need goroutines of their own: with a
// timeout that is too short, and on a cluster, whose client asks for its nodes and commands with
// a context of its own.
func newCalls(c *config) *calls {
	if c.timeout < shortTimeout || c.shape == shapeCluster {
		return nil
	}
	return &calls{timeout: c.timeout - aheadOfTimeout, underWay: make(map[int64]*call)}
}

// begin makes a call, which has the values of a context.
func (all *calls) begin(values context.Context) *call {
	c := &call{Context: values, done: make(chan struct{})}
	at := time.Now().Add(all.timeout).UnixNano()
	all.mu.Lock()
	defer all.mu.Unlock()
	all.last = max(at, all.last+1)
	c.at = all.last
	all.underWay[c.at] = c
	return c
}

// end ends what begin began.
func (all *calls) end(c *call) {
	all.mu.Lock()
	delete(all.underWay, c.at)
	all.mu.Unlock()
	c.mu.Lock()
	c.conn = nil
	c.mu.Unlock()
}

// find is the call with a deadline, or nil.
func (all *calls) find(deadline time.Time) *call {
	if all == nil || deadline.IsZero() {
		return nil
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	return all.underWay[deadline.UnixNano()]
}

// interrupt ends the waiting of all calls.
func (all *calls) interrupt() {
	if all == nil {
		return
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	for _, c := range all.underWay {
		c.interrupt()
	}
}

// call is one that runs on its caller's goroutine, and the context that the client library
// gets for it. The library looks at that only between its steps: what waits for a server
// that does not answer ends when the deadline of its connection is moved.
type call struct {
	context.Context       // for its values
	at              int64 // the deadline, in Unix ns
	done            chan struct{}

	mu    sync.Mutex // guards following
	ended bool       // done is closed
	conn  *liveConn  // the one in use, or nil
}

// Deadline is when the server is to have answered.
func (c *call) Deadline() (time.Time, bool) { return time.Unix(0, c.at), true }

// Done is closed by interrupt.
func (c *call) Done() <-chan struct{} { return c.done }

// Err is not nil after interrupt.
func (c *call) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return context.Canceled
	}
	return nil
}

// interrupt ends the waiting of the call: for a connection, or on one.
func (c *call) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.ended = true
	close(c.done)
	if c.conn != nil {
		_ = c.conn.Conn.SetDeadline(longAgo)
	}
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// wait notes on which connection the call is to wait, and sets the deadline of that.
func (c *call) wait(conn *liveConn, set func(time.Time) error, deadline time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = conn
	if c.ended {
		deadline = longAgo
	}
	return set(deadline)
}

// SetReadDeadline sets the deadline, unless the call with that was interrupted.
func (c *liveConn) SetReadDeadline(t time.Time) error {
	if one := c.dialer.calls.find(t); one != nil {
		return one.wait(c, c.Conn.SetReadDeadline, t)
	}
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline sets the deadline, unless the call with that was interrupted.
func (c *liveConn) SetWriteDeadline(t time.Time) error {
	if one := c.dialer.calls.find(t); one != nil {
		return one.wait(c, c.Conn.SetWriteDeadline, t)
	}
	return c.Conn.SetWriteDeadline(t)
}
