package batch

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
)

// slot is a goroutine that runs one job after the other.
type slot struct {
	lane *lane
	// left is set when the handler's goroutine came back to find that it had
	// been left behind, and its slot given to another one.
	left bool

	mu sync.Mutex // guards following
	// current is the job whose handler runs, nil between jobs.
	current *task
	// timer fires at the job's timeout and again when it counts as stuck. It is
	// reused, so it may fire for a job that is over.
	timer *time.Timer
}

func (l *lane) slot() {
	s := &slot{lane: l}
	// A handler that ends its goroutine (runtime.Goexit, as a failed assertion
	// of package testing does) must not cost the worker a slot.
	orderly := false
	defer func() {
		switch {
		case s.left:
		case orderly:
			l.leave()
		default:
			l.replace()
		}
	}()
	for !s.left {
		t := l.next()
		if t == nil {
			break
		}
		s.run(t)
	}
	orderly = true
}

// run takes one job from decision to conclusion.
func (s *slot) run(t *task) {
	l := s.lane
	w := l.worker
	f := w.facts(t)
	v, reason := decide(f)
	if v.Outcome != 0 {
		if t.state.CompareAndSwap(taskBuffered, taskReturned) {
			l.conclude(t, v, reason, false, 0)
		} else {
			l.finish(t)
		}
		return
	}

	inner, cancel := context.WithCancelCause(w.working)
	defer cancel(nil)
	t.started = time.Now()
	t.ctx = jobContext{inner, t.started.Add(t.job.Timeout)}
	t.overdueAt = t.ctx.deadline.Add(w.config.StuckAfter)
	t.cancel, t.facts = cancel, f
	if !t.state.CompareAndSwap(taskBuffered, taskRunning) {
		l.finish(t)
		return
	}
	s.occupy(t)
	for _, h := range w.hooks.jobStart {
		h.OnJobStart(&t.ctx, &t.job)
	}
	over := false
	defer func() {
		if !over { // runtime.Goexit
			s.ended(t, &PanicError{Value: "the handler called runtime.Goexit", Stack: debug.Stack()})
		}
	}()
	err := invoke(&t.ctx, t.handler.run, &t.job)
	over = true
	s.ended(t, err)
}

// invoke runs middleware and handler, and turns a panic into an error.
func invoke(ctx context.Context, run Handler, job *JobInfo) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &PanicError{Value: r, Stack: debug.Stack()}
		}
	}()
	return run(ctx, job)
}

// ended concludes a job whose handler came back, unless it was left behind.
func (s *slot) ended(t *task, err error) {
	s.mu.Lock()
	s.current = nil
	s.timer.Stop()
	s.mu.Unlock()
	if !t.state.CompareAndSwap(taskRunning, taskReturned) {
		s.left = true
		return
	}
	w := s.lane.worker
	stage := returned
	if err != nil {
		switch context.Cause(&t.ctx) {
		case ErrShutdown:
			stage = interrupted
		case ErrTimeout:
			err = fmt.Errorf("%w after %s: %w", ErrTimeout, t.job.Timeout, err)
		}
	}
	v, reason := decide(w.outcome(t, t.facts, stage, err))
	s.lane.conclude(t, v, reason, true, time.Since(t.started))
}

// occupy notes the job in the slot and starts the clock of its handler.
func (s *slot) occupy(t *task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = t
	if s.timer == nil {
		s.timer = time.AfterFunc(t.job.Timeout, s.tick)
		return
	}
	s.timer.Reset(t.job.Timeout)
}

// tick cancels a handler at its timeout. When it has ignored that for too long,
// it leaves it behind: the job fails, and another goroutine takes the slot. The
// handler's goroutine cannot be ended; what it returns will be ignored.
func (s *slot) tick() {
	s.mu.Lock()
	t := s.current
	if t == nil {
		s.mu.Unlock()
		return
	}
	now := time.Now()
	if now.Before(t.overdueAt) {
		next := t.overdueAt
		if now.Before(t.ctx.deadline) { // it fired for the job before
			next = t.ctx.deadline
		} else {
			t.cancel(ErrTimeout)
		}
		s.timer.Reset(next.Sub(now))
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	if !t.state.CompareAndSwap(taskRunning, taskLeft) {
		return
	}
	w := s.lane.worker
	for _, h := range w.hooks.jobStuck {
		h.OnJobStuck(w.working, &t.job, now.Sub(t.ctx.deadline))
	}
	err := fmt.Errorf("%w after %s, and the handler did not return", ErrTimeout, t.job.Timeout)
	v, reason := decide(w.outcome(t, t.facts, overdue, err))
	s.lane.conclude(t, v, reason, true, now.Sub(t.started))
	s.lane.replace()
}

// abandon leaves behind every handler that runs, at the end of a shutdown: their
// jobs are given back. It returns how many there were.
func (l *lane) abandon() int {
	n := 0
	for _, t := range l.keeper.held() {
		if !t.state.CompareAndSwap(taskRunning, taskLeft) {
			continue
		}
		n++
		for _, h := range l.worker.hooks.jobStuck {
			h.OnJobStuck(l.worker.working, &t.job, l.worker.config.CancelTimeout)
		}
		v, reason := decide(facts{stage: interrupted, failures: t.delivery.Failures, err: ErrShutdown})
		l.conclude(t, v, reason, true, 0)
		l.leave()
	}
	return n
}

// maxErrorText bounds what is stored of an error with a job: enough to tell what
// happened, small beside the job, and within every broker's limits.
const maxErrorText = 2048

// conclude tells the hooks and then the broker what was decided.
func (l *lane) conclude(t *task, v Verdict, err error, started bool, took time.Duration) {
	if t.lost.Load() {
		v, err = Verdict{Failures: t.delivery.Failures}, ErrLeaseLost
	}
	if hooks := l.worker.hooks.jobEnd; len(hooks) > 0 {
		e := JobEnd{Job: &t.job, Started: started, Duration: took, Verdict: v, Err: err}
		for _, h := range hooks {
			h.OnJobEnd(l.worker.working, e)
		}
	}
	if v.Outcome == 0 {
		l.finish(t)
		return
	}
	s := &t.settling
	*s = settling{task: t, settlement: driver.Settlement{
		Delivery: t.delivery, Outcome: v.Outcome, Delay: v.Delay, Failures: v.Failures, Reason: v.Reason,
	}}
	if v.Outcome == Retry || v.Outcome == Dead {
		s.settlement.Error = errorText(err, t.delivery.LastError, v)
	}
	l.settler.Add(s, 1)
}
