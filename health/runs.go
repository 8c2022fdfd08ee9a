package health

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/batch-go/batch"
)

// runs are the handlers of a worker that run, and what is done for their leases.
type runs struct {
	mu    sync.Mutex // guards following
	lanes map[string]*lane
	// stuck is how many handlers are stuck and have not returned.
	stuck int
}

// lane is what is known of the worker's work on one queue.
type lane struct {
	lease time.Duration
	// extended is when a call to extend leases last returned, whatever it returned.
	extended time.Time
	// held are the runs whose leases the worker has to extend.
	held map[*run]struct{}
}

// run is one run of a handler.
type run struct {
	started time.Time

	// What follows is guarded by runs.mu. A handler may return in the moment in which it is found to be stuck.
	stuck, returned bool
}

// runKey is the key of the run in the context of a job. A worker may have several checks, and each has runs of its own.
type runKey struct{ of *runs }

// standstill is how long jobs may run without a call that extends their leases before the loop that makes these calls counts
// as dead. A worker extends a lease when a third of it has passed, and looks every ten seconds where the lease is the
// connection; it does so, and tries again and again, also while the broker is away. Twice the lease is six times that, and
// two minutes are for machines that stood still for a while.
const standstill = 2 * time.Minute

// lane is that of a queue. r.mu must be held.
func (r *runs) lane(queue string) *lane {
	l := r.lanes[queue]
	if l == nil {
		l = &lane{held: make(map[*run]struct{})}
		r.lanes[queue] = l
	}
	return l
}

// configure notes the lease of a queue, zero if it is the connection.
func (r *runs) configure(queue string, lease time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lane(queue).lease = lease
}

// extended notes that a call to extend leases has returned.
func (r *runs) extended(queue string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lane(queue).extended = now
}

// start notes that a handler starts, and returns the context by which the others know it.
func (r *runs) start(ctx context.Context, queue string) context.Context {
	one := &run{started: time.Now()}
	r.mu.Lock()
	r.lane(queue).held[one] = struct{}{}
	r.mu.Unlock()
	return context.WithValue(ctx, runKey{r}, one)
}

// release notes that the lease of a run is not extended any more, because the run has ended or the lease was lost.
func (r *runs) release(ctx context.Context, queue string) {
	one, _ := ctx.Value(runKey{r}).(*run)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.lane(queue).held, one)
}

// stick notes that a handler does not return.
func (r *runs) stick(ctx context.Context) {
	one, is := ctx.Value(runKey{r}).(*run)
	r.mu.Lock()
	defer r.mu.Unlock()
	if is && !one.returned {
		one.stuck = true
		r.stuck++
	}
}

// middleware notes when a handler returns.
func (r *runs) middleware(next batch.Handler) batch.Handler {
	return func(ctx context.Context, job *batch.JobInfo) error {
		defer func() {
			one, is := ctx.Value(runKey{r}).(*run)
			r.mu.Lock()
			defer r.mu.Unlock()
			if !is {
				return
			}
			one.returned = true
			if one.stuck {
				r.stuck--
			}
		}()
		return next(ctx, job)
	}
}

// look returns how many handlers are stuck, and what is wrong, empty if nothing is. most is as in Config.MaxStuck.
func (r *runs) look(now time.Time, most int) (stuck int, fault string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if most != NoMaxStuck && r.stuck > most {
		return r.stuck, fmt.Sprintf("%d handlers do not return, and at most %d may: they ignore their contexts", r.stuck, most)
	}
	for queue, l := range r.lanes {
		if l.isStill(now) {
			return r.stuck, fmt.Sprintf("jobs of queue %s run, and nobody extends their leases: the worker stands still", queue)
		}
	}
	return r.stuck, ""
}

// isStill tells whether leases should have been extended and nobody has tried. runs.mu must be held.
func (l *lane) isStill(now time.Time) bool {
	limit := max(standstill, 2*l.lease)
	if now.Sub(l.extended) <= limit {
		return false
	}
	for r := range l.held {
		if now.Sub(r.started) > limit {
			return true
		}
	}
	return false
}
