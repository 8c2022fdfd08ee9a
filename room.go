package batch

import (
	"sync"
	"time"
)

const (
	// firstLook is how long a job waits for a transaction before it is sent again, as most
	// transactions are short. The wait doubles up to lastLook, which is what the end of a
	// long one costs: shorter waits would be requests for nothing.
	firstLook = 5 * time.Millisecond
	lastLook  = 100 * time.Millisecond
)

// room is where the jobs of a handle wait whose keys open transactions hold. They take no
// place among the requests under way meanwhile, so that they hold up no other job. From
// time to time all of them are sent again, together.
type room struct {
	again func(*pending) // sends a job

	mu     sync.Mutex // guards following
	jobs   []*pending
	wait   time.Duration // before the next look
	looked time.Time
}

// add lets queued jobs wait. Their callers may give up meanwhile.
func (r *room) add(jobs []*pending) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.jobs) == 0 {
		if r.wait *= 2; time.Since(r.looked) > 2*lastLook { // others than those of the last look
			r.wait = 0
		}
		r.wait = min(max(r.wait, firstLook), lastLook)
		time.AfterFunc(r.wait, r.look)
	}
	r.jobs = append(r.jobs, jobs...)
}

// look sends all jobs again whose callers have not given up.
func (r *room) look() {
	r.mu.Lock()
	jobs := r.jobs
	r.jobs, r.looked = nil, time.Now()
	r.mu.Unlock()
	for _, job := range jobs {
		if job.state.Load() == jobQueued {
			r.again(job)
		}
	}
}
