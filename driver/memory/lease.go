package memory

import (
	"time"

	"github.com/batch-go/batch/driver"
)

// lease is the hold of a consumer on a job. It carries the delivery, which is
// the caller's, so that both are one allocation; the delivery's Receipt is the
// lease.
type lease struct {
	delivery driver.Delivery
	q        *queue

	// The queue's mu guards following.

	// job is nil once the lease has ended, in whatever way.
	job        *job
	term       *term
	deadline   instant
	prev, next *lease
}

// term is the list of a queue's leases of one length. Since each goes to its
// end when it begins and when it is extended, it is in order of their deadlines
// without sorting. There are as many as consumers have asked for different
// lengths: one, in practice.
type term struct {
	length      time.Duration
	users       int // open consumers
	first, last *lease
}

func (t *term) push(l *lease, now instant) {
	l.deadline = now + t.length
	l.prev, l.next = t.last, nil
	if t.last == nil {
		t.first = l
	} else {
		t.last.next = l
	}
	t.last = l
}

func (t *term) remove(l *lease) {
	if l.prev == nil {
		t.first = l.next
	} else {
		l.prev.next = l.next
	}
	if l.next == nil {
		t.last = l.prev
	} else {
		l.next.prev = l.prev
	}
	l.prev, l.next = nil, nil
}

// termOf is the queue's list for leases of a length. q.mu must be held, as for
// all that follows.
func (q *queue) termOf(length time.Duration) *term {
	for _, t := range q.terms {
		if t.length == length {
			return t
		}
	}
	t := &term{length: length}
	q.terms = append(q.terms, t)
	return t
}

// forgetTerms drops the lists that nobody uses and that are empty.
func (q *queue) forgetTerms() {
	kept := q.terms[:0]
	for _, t := range q.terms {
		if t.users > 0 || t.first != nil {
			kept = append(kept, t)
		}
	}
	clear(q.terms[len(kept):])
	q.terms = kept
}

// held is the lease of a delivery, or nil if it is none of this queue or is not
// held any more.
func (q *queue) held(d *driver.Delivery) *lease {
	if d == nil {
		return nil
	}
	l, ok := d.Receipt.(*lease)
	if !ok || l.q != q || l.job == nil {
		return nil
	}
	return l
}

// grant hands the next job out.
func (q *queue) grant(t *term, now instant) *driver.Delivery {
	j := q.take()
	j.deliveries++
	l := &lease{q: q, job: j, term: t}
	d := &l.delivery
	d.Message, d.Failures, d.LastError = j.msg, j.failures, j.lastError
	d.Deliveries, d.Redeliveries, d.Receipt = j.deliveries, j.redeliveries, l
	j.lease = l
	t.push(l, now)
	q.running++
	return d
}

// finish ends a lease and returns its job, which is in no line then.
func (q *queue) finish(l *lease) *job {
	j := l.job
	l.term.remove(l)
	l.job, j.lease = nil, nil
	q.running--
	return j
}

// lose ends a lease whose holder has vanished: the job is ready where it was.
func (q *queue) lose(l *lease) {
	j := q.finish(l)
	j.redeliveries++
	q.makeReady(j)
}
