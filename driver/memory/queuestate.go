package memory

import (
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
)

// queueState is one queue of a broker. Every operation locks it once with begin,
// which brings it up to the present, does its work, and unlocks it with end,
// which wakes the Receive calls that can go on. One that makes no job ready may
// unlock mu itself.
type queueState struct {
	name     string
	clock    clock
	capacity *capacity
	window   time.Duration // for which dedup keys are remembered

	mu      sync.Mutex // guards following
	deleted bool
	paused  bool
	// A job is either in the backlog or running.
	backlog
	running running
	keys    rememberedKeys
	held    map[string]heldKey // the keys that open transactions hold
	imports rememberedKeys     // those of imports

	subscriptions map[*subscription]struct{}
	waiters       waiters

	// timer runs tick at alarm, or earlier, while a Receive waits for it.
	timer *time.Timer
	alarm instant // 0: not set
}

// newQueueState makes an empty queue.
func newQueueState(name string, c clock, shared *capacity, window time.Duration) *queueState {
	q := &queueState{name: name, clock: c, capacity: shared, window: window, subscriptions: make(map[*subscription]struct{})}
	q.backlog.init()
	q.running.home = shared
	return q
}

// begin begins an operation: it locks the queue and brings it up to now.
func (q *queueState) begin() (now instant) {
	q.mu.Lock()
	now = q.clock.now()
	q.advance(now)
	return now
}

// end ends an operation: it wakes whom it can, sets the timer, and unlocks. q.mu
// must be held, as for all that follows.
func (q *queueState) end(now instant) {
	if q.waiters.first != nil {
		q.wake()
		q.setTimer(now)
	}
	q.mu.Unlock()
}

// advance brings the queue up to now: what is due becomes ready, leases end,
// keys are forgotten.
func (q *queueState) advance(now instant) {
	before := q.nready
	for at := q.next(); at != 0 && at <= now; at = q.next() {
		// In the order of time, as they wait since then.
		if j := q.scheduled.first(); j != nil && j.at == at {
			q.requeue(q.scheduled.pop(), at)
		} else {
			q.lose(q.running.first(), at)
		}
	}
	if q.keys.any() || q.imports.any() {
		q.capacity.free(q.keys.expire(now)+q.imports.expire(now), 0)
	}
	if q.nready != before {
		q.wake()
	}
}

// lose ends a lease whose holder has vanished: the job waits where it was.
func (q *queueState) lose(l *lease, since instant) {
	j := q.running.remove(l)
	j.redeliveries++
	q.wait(j, since)
}

// drop removes a job that has not run to its end, and frees its key.
func (q *queueState) drop(j *job, state driver.State) {
	q.backlog.remove(j, state)
	q.capacity.free(j.size+q.keys.free(j.msg.DedupKey, j.keyNumber), 1)
}

// available is the number of jobs that can be handed out.
func (q *queueState) available() int {
	if q.paused {
		return 0
	}
	return q.nready
}

// wake wakes one waiting call for each job that nobody has a claim on.
func (q *queueState) wake() {
	for q.waiters.first != nil && q.waiters.claims < q.available() {
		q.waiters.wakeOne(q.waiters.first)
	}
}

// setTimer sets the timer if a Receive waits for something that time brings. A
// timer that is set too early is left: it costs one idle tick, where to keep it
// exact would cost a reset on almost every operation.
func (q *queueState) setTimer(now instant) {
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

// next is when advance has something to do that makes a job ready; 0 for never.
func (q *queueState) next() instant {
	var next instant
	if l := q.running.first(); l != nil {
		next = l.deadline
	}
	if j := q.scheduled.first(); j != nil && (next == 0 || j.at < next) {
		next = j.at
	}
	return next
}

// tick is the timer's function. q.mu must not be held.
func (q *queueState) tick() {
	q.mu.Lock()
	q.alarm = 0
	now := q.clock.now()
	q.advance(now)
	q.end(now)
}

// stopTimer stops the timer.
func (q *queueState) stopTimer() {
	if q.timer != nil {
		q.timer.Stop()
	}
	q.alarm = 0
}

// subscribe makes a subscription with leases of a length.
func (q *queueState) subscribe(conn *connection, lease time.Duration) *subscription {
	q.running.dropUnused()
	s := &subscription{conn: conn, leases: q.running.ofLength(lease)}
	s.leases.users++
	q.subscriptions[s] = struct{}{}
	return s
}

// unsubscribe ends a subscription; why is the kind of its errors from then on.
func (q *queueState) unsubscribe(s *subscription, why error) {
	if s.gone != nil {
		return
	}
	s.gone = why
	delete(q.subscriptions, s)
	s.leases.users--
	q.running.dropUnused()
	q.waiters.wakeAll(s)
	if len(q.subscriptions) == 0 {
		q.stopTimer()
	}
}

// stop ends receiving by a subscription.
func (q *queueState) stop(s *subscription) {
	s.stopped = true
	q.waiters.wakeAll(s)
}

// disconnect ends the subscriptions of a connection. q.mu must not be held, as
// for all that follows.
func (q *queueState) disconnect(conn *connection) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for s := range q.subscriptions {
		if s.conn == conn {
			q.unsubscribe(s, driver.ErrClosed)
		}
	}
}

// crash ends all subscriptions and all leases.
func (q *queueState) crash() {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.clock.now()
	for s := range q.subscriptions {
		q.unsubscribe(s, driver.ErrUnavailable)
	}
	for l := range q.running.locked {
		q.lose(l, now)
	}
	for _, list := range q.running.lists {
		for list.first != nil {
			q.lose(list.first, now)
		}
	}
	q.running.dropUnused()
}

// delete removes all that the queue holds, and ends all subscriptions.
func (q *queueState) delete() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.deleted = true
	for s := range q.subscriptions {
		q.unsubscribe(s, driver.ErrNotFound)
	}
	waiting, nwaiting := q.backlog.clear()
	held, nheld := q.running.clear()
	q.held = nil
	q.capacity.free(q.keys.clear()+q.imports.clear()+waiting+held, nwaiting+nheld)
}
