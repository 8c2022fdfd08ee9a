package batch

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/coalesce"
)

// sender takes the jobs of a queue's handle to the broker: concurrent calls share
// requests, and what is certainly not stored is tried again. The settler does the
// same on the way out.
type sender struct {
	driver    driver.Driver
	queue     string
	timeout   time.Duration
	timedOut  error // what an enqueue says that took longer
	coalescer *coalesce.Coalescer[*pending]
	// dropped is called when the broker does not know the queue.
	dropped func()
}

// newSender makes the sender for one queue.
func newSender(d driver.Driver, l driver.Limits, queue string, timeout time.Duration, dropped func()) *sender {
	s := &sender{driver: d, queue: queue, timeout: timeout, dropped: dropped}
	s.timedOut = fmt.Errorf("no answer within the enqueue timeout of %s: %w", timeout, context.DeadlineExceeded)
	s.coalescer = coalesce.New(coalesce.Limits{
		Items: l.EnqueueBatch, Bytes: l.EnqueueBytes, Flights: l.Publishers, Partial: partialFlights(l),
	}, s.flush)
	return s
}

// fewJobs is the size of a request up to which the number of requests is what
// counts, in time and in money: SQS takes ten jobs in one.
const fewJobs = 100

// partialFlights is how many requests may be under way when one leaves that could
// take more jobs.
func partialFlights(l driver.Limits) int {
	if l.EnqueueBatch > fewJobs {
		return l.Publishers
	}
	return min(l.Publishers, 2)
}

// pending is one job on its way to the broker. Its state decides a race: a
// caller that gives up while the job is still queued knows that it is not
// stored; once the job is in a request, nobody does until the answer.
type pending struct {
	message *driver.Message
	latch   *latch // nil if the caller makes the request itself
	since   time.Time

	state  atomic.Int32
	result driver.Result // written before state becomes jobAnswered
	// last is the error of the last try that certainly did not store the job,
	// written before state becomes jobQueued again.
	last error
}

// The states of a pending job.
const (
	// jobQueued: it waits for a request, for the first time or to be tried again.
	jobQueued int32 = iota
	// jobSent: it is in a request.
	jobSent
	// jobAnswered: its result is known.
	jobAnswered
	// jobWithdrawn: its caller gave up before it was in a request.
	jobWithdrawn
)

// answer gives the job its result, and the caller a signal if it is the last.
func (job *pending) answer(r driver.Result) {
	l := job.latch // job may be reused once the signal is given
	job.result = r
	job.state.Store(jobAnswered)
	if l != nil && l.left.Add(-1) == 0 {
		l.opened <- struct{}{}
	}
}

// resolve is what the caller, which waits no longer, is told of the job: the
// broker's result; or else why the caller gave up, and what that says of the
// job's fate.
func (job *pending) resolve(gaveUp error) (driver.Result, Fate) {
	switch {
	case job.state.Load() == jobAnswered:
	case job.state.CompareAndSwap(jobQueued, jobWithdrawn):
		return driver.Result{Err: because(gaveUp, job.last)}, FateNotStored
	case job.state.Load() != jobAnswered: // not even between the two looks
		return driver.Result{Err: gaveUp}, FateUnknown
	}
	if job.result.Err == nil {
		return job.result, 0
	}
	return job.result, driver.FateOf(job.result.Err)
}

// because puts the last failed try beside the end of waiting, if there was one:
// "deadline exceeded" alone does not say why.
func because(gaveUp, last error) error {
	if last == nil {
		return gaveUp
	}
	return fmt.Errorf("%w; last try: %w", gaveUp, last)
}

// latch is what a caller waits at: it opens when the last of the caller's jobs is
// answered. The timer bounds the wait.
type latch struct {
	left   atomic.Int64
	opened chan struct{} // holds one signal
	timer  *time.Timer
}

// newLatch makes a latch whose time begins to run.
func newLatch(timeout time.Duration) latch {
	return latch{opened: make(chan struct{}, 1), timer: time.NewTimer(timeout)}
}

// add hands a job over; the caller waits for it at its latch.
func (s *sender) add(job *pending) { s.coalescer.Add(job, job.message.Size()) }

// wait returns nil when all jobs of the latch are answered, or why it stopped
// waiting before.
func (s *sender) wait(ctx context.Context, l *latch) error {
	defer l.timer.Stop()
	select {
	case <-l.opened:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-l.timer.C:
		return s.timedOut
	}
}

// lead reports whether the caller may make the request itself, as nothing else is
// under way. It must call land afterwards.
func (s *sender) lead() bool { return s.coalescer.Lead() }

// land ends what lead began.
func (s *sender) land() { s.coalescer.Land() }

// sendNow makes the request for one job in the caller's goroutine, with the
// caller's context.
func (s *sender) sendNow(ctx context.Context, job *pending) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	job.state.Store(jobSent)
	s.deliver(ctx, []*pending{job})
}

// flush sends one batch.
func (s *sender) flush(batch []*pending) {
	jobs := take(make([]*pending, 0, len(batch)), batch)
	if len(jobs) == 0 {
		return
	}
	ctx, cancel := s.deadline(context.Background())
	defer cancel()
	s.deliver(ctx, jobs)
}

// deadline bounds ctx by the enqueue timeout.
func (s *sender) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, s.timeout, s.timedOut)
}

// deliver answers every job. Those that are certainly not stored because the
// broker cannot be reached are tried again until ctx ends.
func (s *sender) deliver(ctx context.Context, jobs []*pending) {
	var b backoff
	for {
		jobs = s.send(ctx, jobs)
		if len(jobs) == 0 {
			return
		}
		again := b.wait(ctx)
		jobs = take(jobs[:0], jobs)
		if !again {
			for _, job := range jobs {
				job.answer(driver.Result{Err: because(context.Cause(ctx), job.last)})
			}
			return
		}
		if len(jobs) == 0 {
			return
		}
	}
}

// send makes one request and returns the jobs to be tried again, as queued.
func (s *sender) send(ctx context.Context, jobs []*pending) (again []*pending) {
	messages := make([]*driver.Message, len(jobs))
	for i, job := range jobs {
		messages[i] = job.message
	}
	results := s.driver.Enqueue(ctx, s.queue, messages)
	for i, job := range jobs {
		var r driver.Result
		if results != nil {
			r = results[i]
		}
		if r.Err != nil && driver.FateOf(r.Err) == FateNotStored && errors.Is(r.Err, ErrUnavailable) {
			job.last = r.Err
			job.state.Store(jobQueued)
			again = append(again, job)
			continue
		}
		if r.Err != nil && errors.Is(r.Err, ErrNotFound) {
			s.dropped() // the next enqueue declares the queue again
		}
		job.answer(r)
	}
	return again
}

// take appends to taken those of the queued jobs whose callers have not given up,
// for a request.
func take(taken, queued []*pending) []*pending {
	for _, job := range queued {
		if job.state.CompareAndSwap(jobQueued, jobSent) {
			taken = append(taken, job)
		}
	}
	return taken
}
