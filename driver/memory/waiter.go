package memory

import "github.com/batch-go/batch/driver"

// subscription is the presence of a consumer on a queue, for as long as both
// exist.
type subscription struct {
	conn   *connection
	leases *leaseList

	// The queue's mu guards following.

	// gone is nil while the subscription is open, else the kind of its errors.
	gone error
	// stopped ends receiving, and nothing else.
	stopped bool
	// spare is a waiter for the next Receive that has to wait.
	spare *waiter
}

// usable is nil, or why calls are refused.
func (s *subscription) usable() error {
	if s.gone != nil && s.conn.isClosed() {
		return driver.ErrClosed
	}
	return s.gone
}

// receivable is usable for Receive.
func (s *subscription) receivable() error {
	if s.stopped {
		return driver.ErrClosed
	}
	return s.usable()
}

// waiter is a Receive call that found nothing.
//
// Waiting calls are woken in the order in which they came, one for each job that
// is available. A call that was woken has a claim on one job: later Receive
// calls do not take that, so that none starves, and it takes its share of what is
// there, so that two workers get a job each where one would get both. It takes
// the jobs itself, once it runs, and not before: a call whose ctx ended has
// nothing to give back, and what arrives in between goes into the same batch.
type waiter struct {
	sub *subscription
	// signal has room for one, so that waking never blocks.
	signal chan struct{}

	// The queue's mu guards following.

	woken      bool // has a claim, and is not in the list
	prev, next *waiter
}

// waiters is the list of those that were not woken, longest waiting first.
type waiters struct {
	first, last *waiter
	// claims is the number of those that were woken and have not run yet.
	claims int
}

// pushBack makes a call wait.
func (l *waiters) pushBack(w *waiter) {
	w.prev, w.next = l.last, nil
	if l.last == nil {
		l.first = w
	} else {
		l.last.next = w
	}
	l.last = w
}

// pushFront makes a call wait again that was woken in vain: it keeps its turn.
func (l *waiters) pushFront(w *waiter) {
	w.prev, w.next = nil, l.first
	if l.first == nil {
		l.last = w
	} else {
		l.first.prev = w
	}
	l.first = w
}

// remove takes out a call that was not woken.
func (l *waiters) remove(w *waiter) {
	if w.prev == nil {
		l.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		l.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next = nil, nil
}

// wakeOne gives a waiting call its claim.
func (l *waiters) wakeOne(w *waiter) {
	l.remove(w)
	l.claims++
	w.woken = true
	w.signal <- struct{}{}
}

// dropClaim takes the claim of a call that runs again.
func (l *waiters) dropClaim(w *waiter) {
	l.claims--
	w.woken = false
	select {
	case <-w.signal: // ctx ended as well, and was seen first
	default:
	}
}

// wakeAll wakes the waiting calls of a subscription that is gone.
func (l *waiters) wakeAll(s *subscription) {
	for w := l.first; w != nil; {
		next := w.next
		if w.sub == s {
			l.wakeOne(w)
		}
		w = next
	}
}
