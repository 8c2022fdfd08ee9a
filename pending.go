package batch

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch/driver"
)

// pending is one job on its way to the broker. Its state decides a race. A caller
// that gives up while the job is still queued knows that it is not stored. Once
// the job is in a request, nobody knows until the answer.
type pending struct {
	message    *driver.Message
	notApplied []string  // see outgoing
	latch      *latch    // nil if the caller makes the request itself
	since      time.Time // for the hooks; zero without one

	list   [1]*driver.Message // see alone
	self   [1]*pending        // the jobs of a request for this one alone
	state  atomic.Int32
	result driver.Result // written before state becomes jobAnswered
	// last is the error of the last try that certainly did not store the job,
	// written before state becomes jobQueued again.
	last error
}

// The states of a pending job.
const (
	// jobQueued: it waits for its first request, or for the next try.
	jobQueued int32 = iota
	// jobSent: it is in a request.
	jobSent
	// jobAnswered: its result is known.
	jobAnswered
	// jobWithdrawn: its caller gave up before it was in a request.
	jobWithdrawn
)

// alone is the message of a request for this job alone.
func (job *pending) alone() []*driver.Message {
	job.list[0] = job.message
	return job.list[:]
}

// answer sets the job's result. If it is the caller's last job, it opens the latch.
func (job *pending) answer(r driver.Result) {
	l := job.latch // job may be reused once the latch is open
	job.result = r
	job.state.Store(jobAnswered)
	l.count()
}

// queuedAgain makes a job one that waits for its next try, after a try that certainly did
// not store it.
func (job *pending) queuedAgain(why error) *pending {
	job.last = why
	job.state.Store(jobQueued)
	return job
}

// abandon answers a job that is queued for another try with the reason why there is
// none, unless its caller has given up. It is never seen as sent.
func (job *pending) abandon(why error) {
	l := job.latch
	job.result.Err = because(why, job.last)
	if job.state.CompareAndSwap(jobQueued, jobAnswered) {
		l.count()
	}
}

// resolve is what the caller learns about the job when it stops waiting: the
// broker's result, or why the caller gave up and what that means for the job's
// fate.
func (job *pending) resolve(gaveUp error) (driver.Result, Fate) {
	switch {
	case job.state.Load() == jobAnswered:
	case job.state.CompareAndSwap(jobQueued, jobWithdrawn):
		return driver.Result{Err: because(gaveUp, job.last)}, FateNotStored
	case job.state.Load() != jobAnswered: // nor was it answered since the first look
		return driver.Result{Err: gaveUp}, FateUnknown
	}
	if job.result.Err == nil {
		return job.result, 0
	}
	return job.result, driver.FateOf(job.result.Err)
}

// because adds the error of the last try, if there was one, to the reason for
// giving up: "deadline exceeded" alone does not say why. The last try comes first in
// the tree of errors, since it says what became of the job.
func because(gaveUp, last error) error {
	if last == nil {
		return gaveUp
	}
	return fmt.Errorf("%[2]w; last try: %[1]w", last, gaveUp)
}

// latch opens when the last of a caller's jobs is answered. The timer bounds the
// caller's wait.
type latch struct {
	left   atomic.Int64
	opened chan struct{} // buffers one signal
	timer  *time.Timer   // nil before the first use
	timed  bool          // the timer runs: the caller's ctx does not end before it
}

// stop stops it.
func (l *latch) stop() {
	if l.timed {
		l.timer.Stop()
	}
}

// count is called for each job that is answered. A nil latch is that of a caller that
// makes the request itself.
func (l *latch) count() {
	if l != nil && l.left.Add(-1) == 0 {
		l.opened <- struct{}{}
	}
}
