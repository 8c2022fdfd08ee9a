package batch

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// jobContext is the context of a running handler. It can be cancelled with a cause, and has
// the job's deadline. As long as nobody waits for its end and it has not ended before its
// handler, it makes no context of package context: the worker's stands for it, the slot's
// timer for its deadline, and it is no child that the worker's has to know.
type jobContext struct {
	// Context is the worker's.
	context.Context
	deadline time.Time

	// own is the context of package context, nil as long as there is no need of one.
	own atomic.Pointer[context.Context]
	// over is set when the handler has returned, if there is no own until then.
	over atomic.Bool

	mu sync.Mutex // guards following, and changes of own and over
	// stop cancels own with a cause, and release stops its timer.
	stop    context.CancelCauseFunc
	release context.CancelFunc
}

// begin makes it the context of a handler that is about to be called.
func (c *jobContext) begin(working context.Context, deadline time.Time) {
	c.Context, c.deadline = working, deadline
}

// Deadline is when the job's timeout passes.
func (c *jobContext) Deadline() (time.Time, bool) { return c.deadline, true }

// Done is closed when the handler is to end.
func (c *jobContext) Done() <-chan struct{} { return c.real().Done() }

// Err is context.DeadlineExceeded after the timeout.
func (c *jobContext) Err() error {
	if ctx := c.own.Load(); ctx != nil {
		return (*ctx).Err()
	}
	if c.over.Load() {
		return context.Canceled
	}
	return c.Context.Err()
}

// Value is the worker's, and what package context looks for in a parent.
func (c *jobContext) Value(key any) any {
	if c.own.Load() != nil || c.over.Load() { // whose cause is not the worker's
		return c.real().Value(key)
	}
	return c.Context.Value(key)
}

// real is own, which it makes if there is none.
func (c *jobContext) real() context.Context {
	if ctx := c.own.Load(); ctx != nil {
		return *ctx
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.make()
}

// make is real with c.mu held.
func (c *jobContext) make() context.Context {
	if ctx := c.own.Load(); ctx != nil {
		return *ctx
	}
	parent, over := c.Context, c.over.Load()
	if over { // which the worker's may be too by now, with another cause
		parent = context.WithoutCancel(parent)
	}
	parent, c.stop = context.WithCancelCause(parent)
	if over {
		c.stop(nil)
	}
	var ctx context.Context
	ctx, c.release = context.WithDeadlineCause(parent, c.deadline, ErrTimeout)
	c.own.Store(&ctx)
	return ctx
}

// cancel ends it with a cause, unless it has ended.
func (c *jobContext) cancel(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.make()
	c.stop(cause)
}

// expire is called when the deadline has passed. If somebody waits, that context ends by
// itself, and what is made now has ended.
func (c *jobContext) expire() { c.real() }

// end is called when the handler has returned.
func (c *jobContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.own.Load() == nil && c.Context.Err() == nil {
		c.over.Store(true)
		return
	}
	c.make() // if there is none, it has ended with the worker's
	c.stop(nil)
	c.release()
}
