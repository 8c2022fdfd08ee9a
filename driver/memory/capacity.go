package memory

import "sync"

// capacity counts what a broker holds against its bounds. Its lock is the last
// in the order: it is taken with a queue's mu held, and takes none.
type capacity struct {
	maxBytes int64
	maxJobs  int

	mu    sync.Mutex // guards following
	bytes int64
	jobs  int
}

// reserve takes capacity, or tells that there is not enough and takes nothing.
func (c *capacity) reserve(bytes int64, jobs int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bytes+bytes > c.maxBytes || c.jobs+jobs > c.maxJobs {
		return false
	}
	c.bytes += bytes
	c.jobs += jobs
	return true
}

// free gives back what was reserved.
func (c *capacity) free(bytes int64, jobs int) {
	if bytes == 0 && jobs == 0 {
		return
	}
	c.mu.Lock()
	c.bytes -= bytes
	c.jobs -= jobs
	c.mu.Unlock()
}

// used is what is reserved.
func (c *capacity) used() (bytes int64, jobs int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes, c.jobs
}
