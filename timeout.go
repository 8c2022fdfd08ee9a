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
	// stuck. It is reused, so it may fire for a task that has ended.
	timer *time.Timer
}

// start begins to watch the handler of t.
func (o *timeout) start(t *task) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.current = t
	if o.timer == nil {
		o.timer = time.AfterFunc(t.job.Timeout, o.tick)
		return
	}
	o.timer.Reset(t.job.Timeout)
}

// stop ends watching: the handler has returned.
func (o *timeout) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.current = nil
	o.timer.Stop()
}

// tick is called by the timer.
func (o *timeout) tick() {
	o.mu.Lock()
	t := o.current
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
	o.timer.Reset(next.Sub(now))
}
