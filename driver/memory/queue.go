package memory

import (
	"sync"
	"time"
)

// queue is one queue of a broker. Every operation locks it once, brings it up
// to the present with advance, does its work, and ends with leave, which wakes
// the Receive calls that can go on.
//
// A job is in exactly one of these: a ready line, a parked line, scheduled,
// dead, or running with a lease.
type queue struct {
	b    *Broker
	name string

	mu      sync.Mutex // guards following
	deleted bool
	paused  bool
	places  uint64 // the last place that was given out
	depot   depot

	ready           [levels]line // can be handed out, highest level first
	parked          [levels]line // stand behind another job of their group
	nready, nparked int
	scheduled       line // by the time when they are due
	dead            line // by the time when they died
	running         int

	groups index // the jobs of a group that are not dead, oldest first
	deadID index // the dead letters of an ID
	marks  marks

	terms     []*term
	consumers map[*consumer]struct{}
	waiters   waiters

	// timer runs tick at alarm, or earlier, while a Receive waits for it.
	timer *time.Timer
	alarm instant // 0: not set
}

func newQueue(b *Broker, name string) *queue {
	q := &queue{b: b, name: name, consumers: make(map[*consumer]struct{})}
	for i := range levels {
		q.ready[i].depot = &q.depot
		q.parked[i].depot = &q.depot
	}
	q.scheduled.depot = &q.depot
	q.dead.depot = &q.depot
	return q
}

// available is the number of jobs that can be handed out. q.mu must be held, as
// for all that follows.
func (q *queue) available() int {
	if q.paused {
		return 0
	}
	return q.nready
}

// place gives out the next place, behind all others.
func (q *queue) place() uint64 {
	q.places++
	return q.places
}

// admit makes a job wait at the end: one that is new or redriven.
func (q *queue) admit(j *job) {
	j.place = q.place()
	if j.msg.Group == "" || q.groups.add(j.msg.Group, j) {
		q.makeReady(j)
		return
	}
	q.parked[j.rank()].push(j)
	q.nparked++
}

// makeReady makes a job ready at the place that it has.
func (q *queue) makeReady(j *job) {
	q.ready[j.rank()].push(j)
	q.nready++
}

// comeBack makes a job ready at the end. A job of a group keeps its place: it is
// still the oldest of its group.
func (q *queue) comeBack(j *job) {
	j.at = 0
	if j.msg.Group == "" {
		j.place = q.place()
	}
	q.makeReady(j)
}

// schedule holds a job back.
func (q *queue) schedule(j *job, at instant) {
	j.at = at
	if j.msg.Group == "" {
		j.place = q.place()
	}
	q.scheduled.push(j)
}

// take takes the job that is next; one must be ready.
func (q *queue) take() *job {
	for i := range q.ready {
		if q.ready[i].n > 0 {
			q.nready--
			return q.ready[i].pop()
		}
	}
	panic("memory: no job is ready")
}

// leaveGroup takes a job that is done, dead or deleted out of its group, and
// lets the group go on.
func (q *queue) leaveGroup(j *job) {
	if j.msg.Group == "" {
		return
	}
	if next := q.groups.remove(j.msg.Group, j); next != nil {
		q.parked[next.rank()].remove(next)
		q.nparked--
		q.makeReady(next)
	}
}

// advance brings the queue up to now: what is due becomes ready, leases end,
// keys are forgotten.
func (q *queue) advance(now instant) {
	before := q.nready
	for j := q.scheduled.first(); j != nil && j.at <= now; j = q.scheduled.first() {
		q.comeBack(q.scheduled.pop())
	}
	for _, t := range q.terms {
		for t.first != nil && t.first.deadline <= now {
			q.lose(t.first)
		}
	}
	if q.marks.first != nil {
		q.b.room.free(q.marks.expire(now), 0)
	}
	if q.nready != before {
		q.wake()
	}
}

// next is when advance has something to do that makes a job ready; 0 for never.
func (q *queue) next() instant {
	var next instant
	if j := q.scheduled.first(); j != nil {
		next = j.at
	}
	for _, t := range q.terms {
		if t.first != nil && (next == 0 || t.first.deadline < next) {
			next = t.first.deadline
		}
	}
	return next
}

// leave ends an operation: it wakes whom it can, sets the timer, and unlocks.
func (q *queue) leave(now instant) {
	if q.waiters.first != nil {
		q.wake()
		q.arm(now)
	}
	q.mu.Unlock()
}

// arm sets the timer if a Receive waits for something that time brings. A timer
// that is set too early is left: it costs one idle tick, where to keep it exact
// would cost a reset on almost every operation.
func (q *queue) arm(now instant) {
	if q.waiters.first == nil || q.paused {
		return
	}
	next := q.next()
	if next == 0 || q.alarm != 0 && q.alarm <= next {
		return
	}
	q.alarm = next
	if q.timer == nil {
		q.timer = time.AfterFunc(next-now, q.tick)
	} else {
		q.timer.Reset(next - now)
	}
}

// tick is the timer's function.
func (q *queue) tick() {
	q.mu.Lock()
	q.alarm = 0
	now := q.b.now()
	q.advance(now)
	q.leave(now)
}

// disarm stops the timer.
func (q *queue) disarm() {
	if q.timer != nil {
		q.timer.Stop()
	}
	q.alarm = 0
}
