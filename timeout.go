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
	// alarm rings at the task's timeout, and again when the handler counts as
	// stuck. It goes on from task to task, so it mostly rings for one that has ended.
	alarm alarm
	// rings is when it does next, zero if it does not.
	rings time.Time
}

// start begins to watch the handler of t. An alarm that rings before its timeout is left
// alone: it is set anew when it does, which is once for many short jobs.
func (o *timeout) start(t *task) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.current = t
	if o.rings.IsZero() || t.ctx.deadline.Before(o.rings) {
		o.set(t.ctx.deadline)
	}
}

// set has the alarm ring at a time. o.mu must be held.
func (o *timeout) set(at time.Time) {
	o.rings = at
	o.alarm.ringIn(time.Until(at), o.tick)
}

// stop ends watching: the handler has returned.
func (o *timeout) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.current = nil
}

// close stops the alarm: the slot has ended.
func (o *timeout) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.current, o.rings = nil, time.Time{}
	o.alarm.stop()
}

// tick is called by the alarm.
func (o *timeout) tick() {
	o.mu.Lock()
	t := o.current
	o.rings = time.Time{}
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
	if now.Before(t.ctx.deadline) { // it rang for the previous task
		next = t.ctx.deadline
	} else {
		t.ctx.expire()
	}
	o.set(next)
}
