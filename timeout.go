package batch

import (
	"sync"
	"time"
)

// timeout watches the handlers of a slot, one after the other. It cancels the
// context of one when the job's timeout has passed, and reports it as stuck if it
// goes on for too long after that.
type timeout struct {
	// stuck is called with a task whose handler did not return, and for how long it
	// has ignored its timeout.
	stuck func(t *task, late time.Duration)

	mu sync.Mutex // guards following
	// current is the task whose handler runs, nil between tasks.
	current *task
	// timer fires at the task's timeout, and again when the handler counts as
	// stuck. It goes on from task to task, so it mostly fires for one that has ended.
	timer *time.Timer
	// fires is when it does next, zero if it does not.
	fires time.Time
}

// start begins to watch the handler of t. A timer that fires before its timeout is left
// alone: it is set anew when it does, which is once for many short jobs.
func (o *timeout) start(t *task) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.current = t
	if o.fires.IsZero() || t.ctx.deadline.Before(o.fires) {
		o.set(t.ctx.deadline)
	}
}

// set makes the timer fire at a time. o.mu must be held.
func (o *timeout) set(at time.Time) {
	o.fires = at
	if o.timer == nil {
		o.timer = time.AfterFunc(time.Until(at), o.tick)
		return
	}
	o.timer.Reset(time.Until(at))
}

// stop ends watching: the handler has returned.
func (o *timeout) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.current = nil
}

// close stops the timer: the slot has ended.
func (o *timeout) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.current, o.fires = nil, time.Time{}
	if o.timer != nil {
		o.timer.Stop()
	}
}

// tick is called by the timer.
func (o *timeout) tick() {
	o.mu.Lock()
	t := o.current
	o.fires = time.Time{}
	if t == nil {
		o.mu.Unlock()
		return
	}
	now := time.Now()
	if !now.Before(t.overdueAt) {
		o.mu.Unlock()
		o.stuck(t, now.Sub(t.ctx.deadline))
		return
	}
	defer o.mu.Unlock()
	next := t.overdueAt
	if now.Before(t.ctx.deadline) { // it fired for the previous task
		next = t.ctx.deadline
	} else {
		t.ctx.expire()
	}
	o.set(next)
}
