package amqp

import (
	"strconv"
	"strings"
	"sync"
	"time"
)

// RabbitMQ's TTLs go by its time of day. If somebody sets that back, what is in a delay
// queue stays there for as long as the step, and all that is delayed later stays behind
// it. So every process that moves delayed jobs watches for a delay queue that stands
// still: see free.go for what it does then. A look is one passive declaration, made only
// when there is a sign that something is in the queue and none that it moves.

const (
	// lookPause is how often a process looks at a delay queue that is used, at most. It
	// is the TTL of the queue if that is longer.
	lookPause = 15 * time.Second
	// idlePause is the same without a sign that it is used: a process that has no
	// consumer may have delayed a job just before the clock was set.
	idlePause = 10 * time.Minute
)

// watch is what a process knows of the delay queues of a queue. Its times are by the
// monotonic clock.
type watch struct {
	pause time.Duration
	// turn holds a token while one of the process's movers looks.
	turn chan struct{}

	mu     sync.Mutex // guards following
	levels []level
	conn   *connection // of the mover that began last
}

// level is what a process knows of a delay queue.
type level struct {
	ttl time.Duration
	// used is since when something has been in the queue, for all that is known, and
	// has not moved. It is zero if there is no sign of anything in it.
	used time.Time
	// filled is when this process put something there last.
	filled time.Time
	// looked is when it was looked at last.
	looked time.Time
	// seen is what was first in the queue, if that cannot tell how long it has been there.
	seen sighting
	// lock is the connection that keeps the movers of other processes away, or nil, and
	// refused how often in turn another process had it.
	lock    *connection
	refused int
}

// maxRefused bounds how often the pause between two looks is doubled while another process
// has the lock: each of them is an error in the broker's log. It is sixteen times the pause.
const maxRefused = 4

// newWatch watches from now on.
func newWatch(pause time.Duration, now time.Time) *watch {
	w := &watch{pause: pause, turn: make(chan struct{}, 1), levels: make([]level, len(ttls))}
	w.restart(now)
	return w
}

// restart forgets what is known: it is as if something had been in each delay queue for
// long, so that all of them are looked at after a pause. The caller has mu, or all of w.
func (w *watch) restart(now time.Time) {
	for i, ttl := range ttls {
		w.levels[i] = level{ttl: ttl, used: now.Add(-ttl), looked: now.Add(w.pause - max(w.pause, ttl))}
	}
}

// begin notes that a mover begins. A new connection, after the one before has ended, may be to a
// server that was started again, and what is known is from before.
func (w *watch) begin(conn *connection, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn != nil && w.conn != conn && !w.conn.alive() {
		w.restart(now)
	}
	w.conn = conn
}

// fill notes that something is about to be put into the delay queue with a TTL.
func (w *watch) fill(ttl time.Duration, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.levels {
		if l := &w.levels[i]; l.ttl == ttl {
			if l.filled = now; l.used.IsZero() {
				l.used = now
			}
		}
	}
}

// move notes that a job has come out of a delay queue of n: it moves, and more may be
// in it.
func (w *watch) move(n *names, queue string, now time.Time) {
	if !strings.HasPrefix(queue, n.main) || !strings.HasPrefix(queue[len(n.main):], delayInfix) {
		return
	}
	ms, err := strconv.ParseInt(queue[len(n.main)+len(delayInfix):], 10, 64)
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.levels {
		if l := &w.levels[i]; l.ttl.Milliseconds() == ms {
			l.used, l.seen = now, sighting{}
		}
	}
}

// due is when the level is to be looked at next.
func (l *level) due(pause time.Duration) time.Time {
	switch {
	case l.used.IsZero():
		return l.looked.Add(max(idlePause, pause, l.ttl))
	case !l.seen.at.IsZero() && !l.used.After(l.seen.at):
		return l.seen.at.Add(l.ttl + ttlMargin(l.ttl)) // did it stay?
	}
	due, next := l.used.Add(l.ttl+ttlMargin(l.ttl)), l.looked.Add(max(pause<<l.refused, l.ttl))
	if next.After(due) {
		return next
	}
	return due
}

// due are the delay queues to look at now, by their index in ttls.
func (w *watch) due(now time.Time) []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	var due []int
	for i := range w.levels {
		if !w.levels[i].due(w.pause).After(now) {
			due = append(due, i)
		}
	}
	return due
}

// next is how long to wait before something may be due. What is noted in the meantime
// is late by a third of the pause at most.
func (w *watch) next(now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	wait := w.pause / 3
	for i := range w.levels {
		wait = min(wait, w.levels[i].due(w.pause).Sub(now))
	}
	return max(wait, w.pause/100)
}

// level is what is known of a delay queue.
func (w *watch) level(i int) level {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.levels[i]
}

// empty notes that nothing is in a delay queue.
func (w *watch) empty(i int) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	l := &w.levels[i]
	l.looked, l.used, l.seen, l.refused = now, time.Time{}, sighting{}, 0
	if now.Sub(l.filled) < l.ttl+ttlMargin(l.ttl) {
		l.used = l.filled // it may have been on its way
	}
}

// stay notes that something is in a delay queue, and what was seen of it.
func (w *watch) stay(i int, seen sighting) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	l := &w.levels[i]
	l.looked, l.used, l.seen = now, now, seen
	if !seen.at.IsZero() {
		l.used = seen.at
	}
}

// locked notes which connection has the lock of a delay queue.
func (w *watch) locked(i int, by *connection) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.levels[i].lock, w.levels[i].refused = by, 0
}

// others notes that another process has the lock of a delay queue, and sees to it.
func (w *watch) others(i int) {
	w.stay(i, sighting{})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.levels[i].refused = min(w.levels[i].refused+1, maxRefused)
}
