package batch

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// slots are the goroutines of a lane that run jobs. There is one for each job that runs, up
// to a bound, and none while there is nothing to run: a worker may have thousands of queues.
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

	resting *resting
}

// resting are slots that have ended, with their timers, to be used again.
type resting struct {
	mu    sync.Mutex // guards following
	slots []*slot
	// closed says that no more are to be started.
	closed bool
}

// push adds a slot. One that comes after close, which does not wait for it, is not kept.
func (r *resting) push(s *slot) {
	r.mu.Lock()
	closed := r.closed
	if !closed {
		r.slots = append(r.slots, s)
	}
	r.mu.Unlock()
	if closed {
		s.timeout.close()
	}
}

// pop takes the slot that ended last, or returns nil if there is none.
func (r *resting) pop() *slot {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.slots) - 1
	if n < 0 {
		return nil
	}
	s := r.slots[n]
	r.slots = r.slots[:n]
	return s
}

// close stops the timers of the slots that rest, when no more are to be started.
func (r *resting) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	for s := r.pop(); s != nil; s = r.pop() {
		s.timeout.close()
	}
}

// newSlots completes slots whose other fields are set.
func newSlots(s slots) *slots {
	s.resting = new(resting)
	return &s
}

// forOnly makes slots like these for one job. They end after it.
func (s *slots) forOnly(t *task) *slots {
	only := *s
	only.buffer = bufferOf(t)
	return newSlots(only)
}

// start starts n slots, which the buffer has counted.
func (s *slots) start(n int) {
	for range n {
		one := s.resting.pop()
		if one == nil {
			one = &slot{slots: s}
			one.timeout.stuck = one.stuck
			one.begin = one.work
		}
		go one.begin()
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
		s.buffer.leave()
	}
}

// slot runs one job at a time.
type slot struct {
	*slots
	// detached is set when a handler returns that is no longer waited for: its
	// goroutine is not a slot any more.
	detached bool
	timeout  timeout
	// begin is the method work, made once.
	begin func()
	// took is how long the last handler took, negative before the first and if the last job
	// had none.
	took time.Duration
}

// work runs one job after the other until none waits.
func (s *slot) work() {
	// A handler that ends its goroutine (runtime.Goexit, as a failed assertion
	// of package testing does) must not cost the worker a slot.
	orderly := false
	s.took = -1
	defer func() {
		switch {
		case orderly && !s.detached:
			s.resting.push(s)
			return
		case !s.detached:
			s.start(1)
		}
		s.timeout.close()
	}()
	for !s.detached {
		t := s.buffer.next(s.took)
		if t == nil {
			break
		}
		s.took = -1
		s.run(t)
	}
	orderly = true
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
	ctx, running := s.startHooks(t)
	if !running {
		over, s.detached = true, true
		return
	}
	err := t.handler.call(ctx, &t.job)
	over = true
	s.ended(t, err)
}

// startHooks calls the hooks for the start of a run, and returns the context for it. If
// the task was detached meanwhile, running is false, and the hooks have been told.
func (s *slot) startHooks(t *task) (ctx context.Context, running bool) {
	ctx = &t.ctx
	if len(s.hooks.jobStart) == 0 {
		return ctx, true
	}
	t.owed.Store(&starting)
	defer func() { // a hook may end this goroutine
		if ctx != context.Context(&t.ctx) {
			watched := context.WithoutCancel(ctx)
			t.watched.Store(&watched)
		}
		running = t.owed.CompareAndSwap(&starting, nil)
		if !running {
			s.hooks.onJobEnd(t.forHooks(s.working), *t.owed.Load())
		}
	}()
	s.hooks.onJobStart(&ctx, &t.job)
	return ctx, true
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
	if v.Outcome == OutcomeDone && t.inTx.Load() {
		s.uncommitted(t)
	}
	s.took = time.Since(t.started)
	s.settler.settle(t, v, reason, true, s.took)
}

// uncommitted decides what becomes of a task whose handler has returned nil after CompleteTx, if the
// transaction was not committed.
func (s *slot) uncommitted(t *task) {
	v, err := s.judge.end(t, returned, ErrUncommitted)
	t.uncommitted = &reverted{v, err}
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
	s.start(1)
}
