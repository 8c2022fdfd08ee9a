package memory

import (
	"sync/atomic"

	"github.com/batch-go/batch/driver"
)

// connection is the link of a handle to its broker. Its state is looked at under
// the lock of the queue that a call works on, so that no call has an effect once
// Close or Crash has been there.
type connection struct {
	state atomic.Int32
	// ended is closed when the connection is not usable any more, for calls that wait.
	ended chan struct{}
}

// newConnection makes one that is open.
func newConnection() *connection { return &connection{ended: make(chan struct{})} }

// The states of a connection.
const (
	stateOpen int32 = iota
	stateCut
	stateClosed
)

// usable is nil, or why calls are refused.
func (c *connection) usable() error {
	switch c.state.Load() {
	case stateOpen:
		return nil
	case stateCut:
		return driver.ErrUnavailable
	}
	return driver.ErrClosed
}

// isClosed tells whether the handle was closed.
func (c *connection) isClosed() bool { return c.state.Load() == stateClosed }

// cut breaks the connection, as a crash of the broker does.
func (c *connection) cut() {
	if c.state.CompareAndSwap(stateOpen, stateCut) {
		close(c.ended)
	}
}

// close closes the connection; false says that it was closed before.
func (c *connection) close() bool {
	before := c.state.Swap(stateClosed)
	if before == stateOpen {
		close(c.ended)
	}
	return before != stateClosed
}
