package batch

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// slots are the goroutines of a lane that run jobs. Their number is fixed.
type slots struct {
	buffer  *buffer
	judge   *judge
	settler *settler
	hooks   *hooks
	// working is the parent of the handlers' contexts.
	working context.Context
	// stuckAfter is how long a handler may ignore its timeout, and cancelTimeout
	// how long it may ignore that the worker stops.
	stuckAfter, cancelTimeout time.Duration

	// left is how many slots have not ended. They end when the buffer is closed.
	left *atomic.Int64
	// quiet is closed when no slot is left.
	quiet chan struct{}
}

// newSlots completes slots whose fields up to cancelTimeout are set.
func newSlots(s slots) *slots {
	s.left, s.quiet = new(atomic.Int64), make(chan struct{})
	return &s
}

// forOnly makes slots like these for one job. They end after it.
func (s *slots) forOnly(t *task) *slots {
	only := *s
	only.buffer = bufferOf(t)
	return newSlots(only)
}

// start begins to run jobs, up to n at the same time.
func (s *slots) start(n int) {
	s.left.Store(int64(n))
	for range n {
		go s.work()
	}
}

// work is one slot: it runs one job after the other until the buffer is closed.
func (s *slots) work() {
	one := &slot{slots: s}
	one.timeout.stuck = one.stuck
	// A handler that ends its goroutine (runtime.Goexit, as a failed assertion
	// of package testing does) must not cost the worker a slot.
	orderly := false
	defer func() {
		one.timeout.close()
		switch {
		case one.detached:
		case orderly:
			s.end()
		default:
			go s.work()
		}
	}()
	for !one.detached {
		t := s.buffer.next()
		if t == nil {
			break
		}
		one.run(t)
	}
	orderly = true
}

// end notes that a slot has ended and is not replaced.
func (s *slots) end() {
	if s.left.Add(-1) == 0 {
		close(s.quiet)
	}
}

// detach ends the slots of those tasks whose handlers still run at the end of a
// shutdown, without waiting for the handlers. Their jobs are given back, unless their
// leases were lost.
func (s *slots) detach(running []*task) {
	for _, t := range running {
		if !t.state.CompareAndSwap(taskRunning, taskDetached) {
			continue
		}
		if t.lost.Load() {
			s.settler.tally.left.Add(1)
		}
		s.hooks.onJobStuck(t.forHooks(s.working), &t.job, s.cancelTimeout)
		v, reason := decide(t.history(interrupted, ErrShutdown))
		s.settler.settleAside(t, v, reason, true, 0)
		s.end()
	}
}

// slot runs one job at a time.
type slot struct {
	*slots
	// detached is set when a handler returns that is no longer waited for: its
	// goroutine is not a slot any more.
	detached bool
	timeout  timeout
}

// run takes a task from the decision whether it runs to its settlement.
func (s *slot) run(t *task) {
	if v, reason := s.decide(t); v.Outcome != 0 {
		s.refuse(t, v, reason)
		return
	}
	t.started = time.Now()
	t.ctx.begin(s.working, t.started.Add(t.job.Timeout))
	defer t.ctx.end()
	t.overdueAt = t.ctx.deadline.Add(s.stuckAfter)
	if !t.state.CompareAndSwap(taskBuffered, taskRunning) {
		s.settler.finish(t)
		return
	}
	s.timeout.start(t)
	over := false
	defer func() {
		if !over { // runtime.Goexit
			s.ended(t, newPanicError("", "the handler or a hook called runtime.Goexit"))
		}
	}()
	ctx := s.hooks.onJobStart(&t.ctx, &t.job)
	if ctx != context.Context(&t.ctx) {
		watched := context.WithoutCancel(ctx)
		t.watched.Store(&watched)
	}
	err := t.handler.call(ctx, &t.job)
	over = true
	s.ended(t, err)
}

// decide decides whether a task runs. If the codec ends this goroutine, the job is
// settled as one that cannot be decoded.
func (s *slot) decide(t *task) (v Verdict, reason error) {
	decided := false
	defer func() {
		if decided { // otherwise runtime.Goexit
			return
		}
		f := t.history(received, nil)
		f.decoding = newPanicError("the codec", "it called runtime.Goexit")
		v, reason := decide(f)
		s.refuse(t, v, reason)
	}()
	v, reason = s.judge.start(s.working, t)
	decided = true
	return v, reason
}

// refuse settles a task that does not run.
func (s *slot) refuse(t *task, v Verdict, reason error) {
	if t.state.CompareAndSwap(taskBuffered, taskReturned) {
		s.settler.settle(t, v, reason, false, 0)
	} else {
		s.settler.finish(t)
	}
}

// ended settles a task whose handler has returned, unless it was detached.
func (s *slot) ended(t *task, err error) {
	s.timeout.stop()
	if !t.state.CompareAndSwap(taskRunning, taskReturned) {
		s.detached = true
		return
	}
	stage := returned
	if err != nil {
		switch context.Cause(&t.ctx) {
		case ErrShutdown:
			stage = interrupted
		case ErrTimeout:
			err = fmt.Errorf("%w after %s: %w", ErrTimeout, t.job.Timeout, err)
		}
	}
	v, reason := s.judge.end(t, stage, err)
	s.settler.settle(t, v, reason, true, time.Since(t.started))
}

// stuck ends the slot of a task whose handler ignores its timeout for too long: the
// job has failed, and another goroutine takes the slot. The handler's goroutine
// cannot be ended, and what it returns is ignored.
func (s *slot) stuck(t *task, late time.Duration) {
	if !t.state.CompareAndSwap(taskRunning, taskDetached) {
		return
	}
	s.hooks.onJobStuck(t.forHooks(s.working), &t.job, late)
	err := fmt.Errorf("%w after %s, and the handler did not return", ErrTimeout, t.job.Timeout)
	v, reason := s.judge.end(t, overdue, err)
	s.settler.settleAside(t, v, reason, true, t.job.Timeout+late)
	go s.work()
}
