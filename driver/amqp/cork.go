package amqp

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// corkSize is how much a corked connection holds back. It is what the kernel
// takes in one go on most systems; more gains nothing and delays the broker.
const corkSize = 64 << 10

// corked is a connection that can hold writes back for a moment. The client
// library writes every message, and every acknowledgement, to the socket by
// itself; with a system call each, that is a good part of what they cost.
type corked struct {
	net.Conn
	// heard is when something was last read, as a time since epoch.
	heard atomic.Int64

	mu sync.Mutex // guards following, and is held while writing
	// corks is how many calls hold writes back.
	corks int
	held  []byte
	err   error
}

// epoch is what times are counted from that no step of the clock changes.
var epoch = time.Now()

// Read reads, and remembers when that was.
func (c *corked) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.heard.Store(int64(time.Since(epoch)))
	}
	return n, err
}

// silence is for how long nothing was read.
func (c *corked) silence() time.Duration { return time.Since(epoch) - time.Duration(c.heard.Load()) }

// cork begins to hold writes back, until uncork was called as often.
func (c *corked) cork() {
	c.mu.Lock()
	c.corks++
	c.mu.Unlock()
}

// uncork sends what was held back, unless others hold on. Its errors are those
// of the next Write, and the connection is of no more use.
func (c *corked) uncork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.corks--; c.corks == 0 {
		c.flush()
	}
}

// Write writes b, or keeps a copy of it.
func (c *corked) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	if c.corks == 0 && len(c.held) == 0 {
		return c.Conn.Write(b)
	}
	c.held = append(c.held, b...)
	if c.corks == 0 || len(c.held) >= corkSize {
		c.flush()
	}
	if c.err != nil {
		return 0, c.err
	}
	return len(b), nil
}

// flush sends what is held. c.mu must be held.
func (c *corked) flush() {
	if len(c.held) == 0 || c.err != nil {
		return
	}
	_, c.err = c.Conn.Write(c.held)
	if cap(c.held) > 4*corkSize {
		c.held = nil
	} else {
		c.held = c.held[:0]
	}
}
