package redis

import (
	"context"
	"net"
	"sync"
	"time"
)

// calls are those that run on their callers' goroutines, and how a connection finds its
// own: the client library hands a context's deadline on to the connection that it has
// chosen, and nothing else of the context. So no two calls have the same deadline.
type calls struct {
	timeout time.Duration // for the answer, from when a connection is found

	mu       sync.Mutex      // guards following
	underWay map[int64]*call // by their deadlines, in Unix ns
	idle     []*call         // have ended, and are used again
	look     *time.Timer     // runs while calls are under way; nil before the first
	looking  bool
}

const (
	// aheadOfTimeout is how much earlier than the client library's own the deadline is by which
	// a call is found, as the library takes the earlier of both. Its clock is one that it sets
	// from time to time, and is behind where the machine is short of processors.
	aheadOfTimeout = 500 * time.Millisecond
	// lookEvery is how often the contexts of the calls are looked at: that is how late a call
	// learns that its own has ended. To be told by each would cost six allocations a call.
	lookEvery = 10 * time.Millisecond
	// mostIdle is how many calls are kept.
	mostIdle = 64
	// shortTimeout is the timeout from which on that makes little difference.
	shortTimeout = 2 * time.Second
)

// newCalls makes the calls of a client with this timeout. It is nil if that is too short, and
// they need goroutines of their own.
func newCalls(timeout time.Duration) *calls {
	if timeout < shortTimeout {
		return nil
	}
	return &calls{timeout: timeout, underWay: make(map[int64]*call)}
}

// begin begins a call that ends when caller does, and has the values of another context.
func (all *calls) begin(caller, values context.Context) *call {
	at := time.Now().Add(all.timeout - aheadOfTimeout) // by the clock that nobody sets
	all.mu.Lock()
	defer all.mu.Unlock()
	var c *call
	if n := len(all.idle); n > 0 {
		c, all.idle = all.idle[n-1], all.idle[:n-1]
	} else {
		c = &call{done: make(chan struct{})}
	}
	for all.underWay[at.UnixNano()] != nil {
		at = at.Add(time.Nanosecond)
	}
	c.Context, c.caller, c.at, c.timeout = values, caller, at, all.timeout
	all.underWay[at.UnixNano()] = c
	if !all.looking {
		all.looking = true
		if all.look == nil {
			all.look = time.AfterFunc(lookEvery, all.interruptEnded)
		} else {
			all.look.Reset(lookEvery)
		}
	}
	return c
}

// end ends what begin began.
func (all *calls) end(c *call) {
	all.mu.Lock()
	defer all.mu.Unlock()
	delete(all.underWay, c.at.UnixNano())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seat, c.caller = nil, nil
	if !c.ended && len(all.idle) < mostIdle {
		all.idle = append(all.idle, c)
	}
}

// interruptEnded interrupts the calls whose callers' contexts have ended.
func (all *calls) interruptEnded() {
	all.mu.Lock()
	defer all.mu.Unlock()
	for _, c := range all.underWay {
		if c.caller.Err() != nil {
			c.interrupt()
		}
	}
	if all.looking = len(all.underWay) > 0; all.looking {
		all.look.Reset(lookEvery)
	}
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
	context.Context // for its values
	caller          context.Context
	at              time.Time     // the deadline by which it is found
	timeout         time.Duration // for the answer
	done            chan struct{}

	mu    sync.Mutex // guards following
	ended bool       // done is closed
	seat  *seat      // that of the connection in use, or nil
}

// Deadline is what the client library hands on to the connection, which finds the call by it.
func (c *call) Deadline() (time.Time, bool) { return c.at, true }

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
	if c.seat != nil {
		c.seat.interrupt(c)
	}
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// wait notes on which connection the call is to wait, and sets the deadline of that. The time
// for the answer begins with it: a call whose turn came late would have none left, and end a
// sound connection.
func (c *call) wait(at *seat, set func(time.Time) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seat = at
	deadline := longAgo
	if !c.ended {
		deadline = time.Now().Add(c.timeout)
	}
	return at.take(c, set, deadline)
}

// seat says which call waits on a connection.
type seat struct {
	conn net.Conn

	mu   sync.Mutex // guards user; locked after that of a call
	user *call      // the last that waited; nil for a command without a call
}

// take sets a deadline for a call, which has the connection from now on.
func (s *seat) take(user *call, set func(time.Time) error, deadline time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.user = user
	return set(deadline)
}

// interrupt ends the waiting of a call, unless another has the connection by now: the answer
// came, and the client library handed the connection on.
func (s *seat) interrupt(one *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.user == one {
		_ = s.conn.SetDeadline(longAgo)
	}
}
