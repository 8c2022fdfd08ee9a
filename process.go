package batch

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch/driver"
)

// slot is a goroutine that runs one job after the other.
type slot struct {
	lane *lane
	// timer fires when the current job's handler is overdue. It is reused, so it
	// may fire late for a job that is over: overdueAt tells.
	timer   *time.Timer
	current atomic.Pointer[occupant]
	// left is set when the handler's goroutine came back to find that it had
	// been left behind, and its slot given to another one.
	left bool
}

// occupant is the job in a slot, with all that whoever leaves it behind needs.
type occupant struct {
	task      *task
	facts     facts
	overdueAt time.Time
	started   time.Time
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

	ctx, cancel := context.WithCancelCause(w.working)
	defer cancel(nil)
	ctx, stop := context.WithTimeoutCause(ctx, t.job.Timeout, ErrTimeout)
	defer stop()
	t.cancel = cancel
	if !t.state.CompareAndSwap(taskBuffered, taskRunning) {
		l.finish(t)
		return
	}
	now := time.Now()
	o := &occupant{task: t, facts: f, started: now, overdueAt: now.Add(t.job.Timeout + w.config.StuckAfter)}
	s.occupy(o)
	for _, h := range w.hooks.jobStart {
		h.OnJobStart(ctx, &t.job)
	}
	over := false
	defer func() {
		if !over { // runtime.Goexit
			s.ended(ctx, o, &PanicError{Value: "the handler called runtime.Goexit", Stack: debug.Stack()})
		}
	}()
	err := call(ctx, t.handler.run, &t.job)
	over = true
	s.ended(ctx, o, err)
}

// call runs middleware and handler, and turns a panic into an error.
func call(ctx context.Context, run Handler, job *JobInfo) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &PanicError{Value: r, Stack: debug.Stack()}
		}
	}()
	return run(ctx, job)
}

// ended concludes a job whose handler came back, unless it was left behind.
func (s *slot) ended(ctx context.Context, o *occupant, err error) {
	s.timer.Stop()
	if !o.task.state.CompareAndSwap(taskRunning, taskReturned) {
		s.left = true
		return
	}
	w := s.lane.worker
	stage := returned
	if err != nil {
		switch cause := context.Cause(ctx); {
		case errors.Is(cause, ErrShutdown):
			stage = interrupted
		case errors.Is(cause, ErrTimeout):
			err = fmt.Errorf("%w after %s: %w", ErrTimeout, o.task.job.Timeout, err)
		}
	}
	v, reason := decide(w.outcome(o.task, o.facts, stage, err))
	s.lane.conclude(o.task, v, reason, true, time.Since(o.started))
}

// occupy notes the job in the slot and starts the clock of its handler.
func (s *slot) occupy(o *occupant) {
	s.current.Store(o)
	d := time.Until(o.overdueAt)
	if s.timer == nil {
		s.timer = time.AfterFunc(d, s.overdue)
		return
	}
	s.timer.Reset(d)
}

// overdue leaves a handler behind that has ignored the end of its context for
// too long: the job fails, and another goroutine takes the slot. The handler's
// goroutine cannot be ended; what it returns will be ignored.
func (s *slot) overdue() {
	o := s.current.Load()
	if time.Now().Before(o.overdueAt) || !o.task.state.CompareAndSwap(taskRunning, taskLeft) {
		return
	}
	w := s.lane.worker
	late := time.Since(o.started) - o.task.job.Timeout
	for _, h := range w.hooks.jobStuck {
		h.OnJobStuck(w.working, &o.task.job, late)
	}
	err := fmt.Errorf("%w after %s, and the handler did not return", ErrTimeout, o.task.job.Timeout)
	v, reason := decide(w.outcome(o.task, o.facts, overdue, err))
	s.lane.conclude(o.task, v, reason, true, time.Since(o.started))
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
	s := &settling{task: t, settlement: driver.Settlement{
		Delivery: t.delivery, Outcome: v.Outcome, Delay: v.Delay, Failures: v.Failures, Reason: v.Reason,
	}}
	if v.Outcome == Retry || v.Outcome == Dead {
		s.settlement.Error = errorText(err, t.delivery.LastError, v)
	}
	l.settler.AddSized(s, 1)
}
