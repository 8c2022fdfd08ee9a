package batch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/coalesce"
)

// sender sends the jobs of a queue's handle to the broker. Concurrent calls share
// requests, and jobs that are certainly not stored are tried again. It is the
// counterpart of settler.
type sender struct {
	driver      driver.Driver
	declaration *declaration
	timeout     time.Duration
	timedOut    error // the error of an enqueue that took longer
	coalescer   *coalesce.Coalescer[*pending]
	room        room
}

// newSender makes the sender for one queue.
func newSender(d driver.Driver, l driver.Limits, declared *declaration, timeout time.Duration) *sender {
	s := &sender{driver: d, declaration: declared, timeout: timeout}
	s.timedOut = fmt.Errorf("no answer within the enqueue timeout of %s: %w", timeout, context.DeadlineExceeded)
	s.coalescer = coalesce.New(coalesce.Limits{
		Items: l.EnqueueBatch, Bytes: l.EnqueueBytes, Flights: l.Publishers, Partial: partialFlights(l),
	}, s.flush)
	s.room.again = s.add
	return s
}

// fewJobs is the limit on the jobs in a request up to which it is the number of
// requests that costs time and money. SQS takes ten.
const fewJobs = 100

// partialFlights is how many requests may be under way, that one included, when a
// request is sent that is not full.
func partialFlights(l driver.Limits) int {
	if l.EnqueueBatch > fewJobs {
		return l.Publishers
	}
	return min(l.Publishers, 2)
}

// start starts the timer of a latch, unless ctx ends before the enqueue timeout.
func (s *sender) start(ctx context.Context, l *latch) {
	if l.opened == nil {
		l.opened = make(chan struct{}, 1)
	}
	l.timed = !s.endsBefore(ctx)
	switch {
	case !l.timed:
	case l.timer == nil:
		l.timer = time.NewTimer(s.timeout)
	default:
		l.timer.Reset(s.timeout)
	}
}

// add queues a job. The caller then waits for its latch.
func (s *sender) add(job *pending) { s.coalescer.Add(job, job.message.Size()) }

// wait returns nil when the latch opens, or the reason why it stopped waiting
// before that.
func (s *sender) wait(ctx context.Context, l *latch) error {
	defer l.stop()
	var late <-chan time.Time
	if l.timed {
		late = l.timer.C
	}
	select {
	case <-l.opened:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-late:
		return s.timedOut
	}
}

// lead reports whether the caller may make the request itself: nothing is queued,
// and the limits allow another request. The caller must then call land.
func (s *sender) lead() bool { return s.coalescer.Lead() }

// land ends what lead began.
func (s *sender) land() { s.coalescer.Land() }

// sendNow makes the request for one job in the caller's goroutine and with the
// caller's context, which is bounded, after lead, and lands. It tells whether the job has
// to wait for a transaction; otherwise it is answered.
func (s *sender) sendNow(ctx context.Context, job *pending) (held bool) {
	defer s.land()
	job.state.Store(jobSent)
	job.self[0] = job
	return s.deliver(ctx, job.self[:])
}

// flush sends one batch.
func (s *sender) flush(batch []*pending) {
	jobs := take(make([]*pending, 0, len(batch)), batch)
	if len(jobs) == 0 {
		return
	}
	ctx, bound := s.deadline(context.Background())
	defer bound.end()
	s.deliver(ctx, jobs)
}

// endsBefore tells whether ctx ends by itself before the enqueue timeout.
func (s *sender) endsBefore(ctx context.Context) bool {
	end, ok := ctx.Deadline()
	return ok && time.Until(end) <= s.timeout
}

// deadline bounds ctx by the enqueue timeout, until end.
func (s *sender) deadline(ctx context.Context) (context.Context, *bounded) {
	if s.endsBefore(ctx) {
		return ctx, nil
	}
	b := &bounded{Context: ctx, at: time.Now().Add(s.timeout), cause: s.timedOut}
	return b, b
}

// deliver answers every job. Those that are certainly not stored, because the broker
// cannot be reached or the queue was deleted, are tried again until ctx ends. Those that
// have to wait for a transaction go to the room, and are not answered yet, unless it is
// one whose caller makes the request itself: then deliver tells that it is held.
func (s *sender) deliver(ctx context.Context, jobs []*pending) (held bool) {
	again := resend{declaration: s.declaration}
	for {
		var later []*pending
		jobs, later = s.send(ctx, jobs, &again)
		if len(later) > 0 {
			if later[0].latch == nil {
				return true
			}
			s.room.add(later)
		}
		if len(jobs) == 0 {
			return false
		}
		if failure := again.await(ctx); failure != nil {
			for _, job := range jobs {
				job.abandon(failure)
			}
			return false
		}
		if jobs = take(jobs[:0], jobs); len(jobs) == 0 {
			return false
		}
	}
}

// sendAtomic calls send, which makes one request for all of a call's jobs, and tries
// again as deliver does.
func (s *sender) sendAtomic(ctx context.Context, send func() error) error {
	again := resend{declaration: s.declaration}
	for {
		again.begin()
		err := send()
		if err == nil || !again.failed(err) {
			return err
		}
		if failure := again.await(ctx); failure != nil {
			return because(failure, err)
		}
	}
}

// send makes one request and returns the jobs to try again, and those that have to wait
// for a transaction, all as queued.
func (s *sender) send(ctx context.Context, jobs []*pending, again *resend) (left, held []*pending) {
	messages := messagesOf(jobs)
	again.begin()
	results := s.driver.Enqueue(ctx, s.declaration.queue, messages)
	for i, job := range jobs {
		r := resultOf(results, i, len(jobs))
		switch {
		case r.Err == nil:
			job.answer(r)
		case errors.Is(r.Err, ErrKeyHeld):
			held = append(held, job.queuedAgain(r.Err))
		case again.failed(r.Err):
			left = append(left, job.queuedAgain(r.Err))
		default:
			job.answer(r)
		}
	}
	return left, held
}

// messagesOf are the messages of jobs, in their order.
func messagesOf(jobs []*pending) []*driver.Message {
	if len(jobs) == 1 {
		return jobs[0].alone()
	}
	messages := make([]*driver.Message, len(jobs))
	for i, job := range jobs {
		messages[i] = job.message
	}
	return messages
}

// take moves queued jobs to a request: it appends to taken those whose callers have
// not given up.
func take(taken, queued []*pending) []*pending {
	for _, job := range queued {
		if job.state.CompareAndSwap(jobQueued, jobSent) {
			taken = append(taken, job)
		}
	}
	return taken
}
