package batch

import (
	"context"
	"sync"
	"time"
)

// bounded is a context with a deadline that takes no timer until somebody waits for its end: an
// enqueue on an idle queue mostly has its answer before that. Otherwise it is what
// [context.WithDeadlineCause] makes.
type bounded struct {
	context.Context // the caller's
	at              time.Time
	cause           error

	mu     sync.Mutex         // guards following
	timed  context.Context    // with a timer; nil until somebody waits
	cancel context.CancelFunc // of timed
	ended  bool
}

// Deadline is when it ends.
func (b *bounded) Deadline() (time.Time, bool) { return b.at, true }

// Done takes a timer.
func (b *bounded) Done() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.make().Done()
}

// make is timed, which it makes if there is none. b.mu must be held.
func (b *bounded) make() context.Context {
	if b.timed == nil {
		b.timed, b.cancel = context.WithDeadlineCause(b.Context, b.at, b.cause)
		if b.ended {
			b.cancel()
		}
	}
	return b.timed
}

// Err looks at the time, unless there is a timer.
func (b *bounded) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.timed != nil:
		return b.timed.Err()
	case b.ended:
		return context.Canceled
	case b.Context.Err() != nil:
		return b.Context.Err()
	case !time.Now().Before(b.at):
		return b.make().Err() // which has the cause too
	}
	return nil
}

// Value is that of the caller's context. By it the context package also finds the timer.
func (b *bounded) Value(key any) any {
	b.mu.Lock()
	inner := b.timed
	b.mu.Unlock()
	if inner == nil {
		inner = b.Context
	}
	return inner.Value(key)
}

// end cancels it. nil is that of a context without a bound of ours.
func (b *bounded) end() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	if b.cancel != nil {
		b.cancel()
	}
}
