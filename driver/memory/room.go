package memory

import "sync"

// room counts what a broker holds against its bounds. Its lock is the last in
// the order: it is taken with a queue's mu held, and takes none.
type room struct {
	maxBytes int64
	maxJobs  int

	mu    sync.Mutex // guards following
	bytes int64
	jobs  int
}

// take makes room, or tells that there is none and takes nothing.
func (r *room) take(bytes int64, jobs int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bytes+bytes > r.maxBytes || r.jobs+jobs > r.maxJobs {
		return false
	}
	r.bytes += bytes
	r.jobs += jobs
	return true
}

// free gives back what was taken.
func (r *room) free(bytes int64, jobs int) {
	if bytes == 0 && jobs == 0 {
		return
	}
	r.mu.Lock()
	r.bytes -= bytes
	r.jobs -= jobs
	r.mu.Unlock()
}

// used is what is taken.
func (r *room) used() (bytes int64, jobs int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes, r.jobs
}
