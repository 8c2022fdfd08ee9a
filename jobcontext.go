package batch

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// jobContext is the context of a running handler. It can be cancelled with a cause, and has
// the job's deadline. As long as nobody waits for its end, the slot's timer stands for
// that deadline, which saves a timer for every job. When somebody does, a handler that
// derives a context from it for example, a real one takes over.
type jobContext struct {
	// Context is the worker's, with the cause for which the handler was cancelled.
	context.Context
	cancel   context.CancelCauseFunc
	deadline time.Time

	// waited is the context that is waited for, nil as long as nobody does.
	waited atomic.Pointer[context.Context]

	mu sync.Mutex // guards following, and changes of waited
	// expired is true if it was the deadline that ended it, and nobody waited then.
	expired bool
	release context.CancelFunc // of waited
}

// begin makes it the context of a handler that is about to be called.
func (c *jobContext) begin(working context.Context, deadline time.Time) {
	c.deadline = deadline
	c.Context, c.cancel = context.WithCancelCause(working)
}

// Deadline is when the job's timeout passes.
func (c *jobContext) Deadline() (time.Time, bool) { return c.deadline, true }

// Done is closed when the handler is to end.
func (c *jobContext) Done() <-chan struct{} {
	if ctx := c.waited.Load(); ctx != nil {
		return (*ctx).Done()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx := c.waited.Load(); ctx != nil {
		return (*ctx).Done()
	}
	parent := c.Context
	if c.expired { // which its parent is too by now, with another error
		parent = context.WithoutCancel(parent)
	}
	ctx, cancel := context.WithDeadlineCause(parent, c.deadline, ErrTimeout)
	c.release = cancel
	c.waited.Store(&ctx)
	return ctx.Done()
}

// Err is context.DeadlineExceeded after the timeout.
func (c *jobContext) Err() error {
	if ctx := c.waited.Load(); ctx != nil {
		return (*ctx).Err()
	}
	err := c.Context.Err()
	if err != nil && context.Cause(c.Context) == ErrTimeout {
		return context.DeadlineExceeded
	}
	return err
}

// Value is the worker's, and what package context looks for in a parent.
func (c *jobContext) Value(key any) any {
	if ctx := c.waited.Load(); ctx != nil {
		return (*ctx).Value(key)
	}
	return c.Context.Value(key)
}

// expire is called when the deadline has passed. If somebody waits, that context ends by
// itself.
func (c *jobContext) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waited.Load() == nil {
		c.cancel(ErrTimeout)
		c.expired = context.Cause(c.Context) == ErrTimeout // not if it had ended before
	}
}

// end is called when the handler has returned.
func (c *jobContext) end() {
	c.cancel(nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.release != nil {
		c.release()
	}
}
