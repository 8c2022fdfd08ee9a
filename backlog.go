package batch

import "sync"

// backlog counts the tasks whose fate was decided, and of which the broker has not been
// told.
type backlog struct {
	mu sync.Mutex // guards following
	n  int
	// waiting is how many of them the broker refused, and will be told about again.
	waiting int
	// empty is closed and set to nil when there are none. It is nil if nobody waits for
	// that.
	empty chan struct{}
}

// add counts n more tasks.
func (b *backlog) add(n int) {
	b.mu.Lock()
	b.n += n
	b.mu.Unlock()
}

// remove counts n tasks less.
func (b *backlog) remove(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n -= n
	if b.n == 0 && b.empty != nil {
		close(b.empty)
		b.empty = nil
	}
}

// wait counts n tasks as waiting for another try, or as waiting no longer if n is
// negative.
func (b *backlog) wait(n int) {
	b.mu.Lock()
	b.waiting += n
	b.mu.Unlock()
}

// waits reports whether tasks wait for another try.
func (b *backlog) waits() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiting > 0
}

// idle returns a channel that is closed when there are no tasks, which may be so
// already.
func (b *backlog) idle() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.n == 0 {
		done := make(chan struct{})
		close(done)
		return done
	}
	if b.empty == nil {
		b.empty = make(chan struct{})
	}
	return b.empty
}
