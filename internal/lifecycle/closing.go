package lifecycle

import (
	"context"
	"sync"
)

// Closing makes a Close happen once: the first call does the work, and each
// other waits for it. The zero value is ready for use. Its methods may be called
// concurrently.
type Closing struct {
	mu       sync.Mutex    // guards following
	finished chan struct{} // closed when the first Close has ended; nil before it began
}

// Begin returns true to the first caller, who calls Finish when it has closed.
// Other callers get false when it has, or when ctx ends before that.
func (c *Closing) Begin(ctx context.Context) bool {
	c.mu.Lock()
	finished := c.finished
	if finished == nil {
		c.finished = make(chan struct{})
		c.mu.Unlock()
		return true
	}
	c.mu.Unlock()
	select {
	case <-finished:
	case <-ctx.Done():
	}
	return false
}

// Finish lets the callers go on that wait in Begin.
func (c *Closing) Finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.finished)
}

// Begun tells whether Begin was called.
func (c *Closing) Begun() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.finished != nil
}
