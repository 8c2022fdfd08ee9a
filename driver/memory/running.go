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
	of       *running

	// The queue's mu guards following.

	// job is nil once the lease has ended, in whatever way.
	job        *job
	list       *leaseList
	deadline   instant
	prev, next *lease
	// locked is the open transaction that completes the job, or nil. The lease is in no list
	// then, and does not end.
	locked *holder
}

// leaseList is a queue's leases of one length. Since each goes to the end when
// it begins and when it is extended, they are in order of their deadlines
// without sorting.
type leaseList struct {
	length      time.Duration
	users       int // open subscriptions
	first, last *lease
}

// push begins a lease, or extends one that was removed before.
func (list *leaseList) push(l *lease, now instant) {
	l.list, l.deadline = list, now+list.length
	l.prev, l.next = list.last, nil
	if list.last == nil {
		list.first = l
	} else {
		list.last.next = l
	}
	list.last = l
}

// insert puts a lease that was removed back to where its deadline belongs.
func (list *leaseList) insert(l *lease) {
	before := list.last
	for before != nil && before.deadline > l.deadline {
		before = before.prev
	}
	l.list, l.prev = list, before
	if before == nil {
		l.next, list.first = list.first, l
	} else {
		l.next, before.next = before.next, l
	}
	if l.next == nil {
		list.last = l
	} else {
		l.next.prev = l
	}
}

// remove takes a lease out of the list.
func (list *leaseList) remove(l *lease) {
	if l.prev == nil {
		list.first = l.next
	} else {
		l.prev.next = l.next
	}
	if l.next == nil {
		list.last = l.prev
	} else {
		l.next.prev = l.prev
	}
	l.prev, l.next = nil, nil
}

// running is the jobs of a queue that are handed out, by their leases. There
// are as many lists as consumers have asked for different lengths: one, in
// practice. The queue's mu guards it.
type running struct {
	home   *capacity // that of the broker: it tells whose queue this is, or was
	n      int
	lists  []*leaseList
	locked map[*lease]struct{} // those of no list
}

// ofLength is the list for leases of a length.
func (r *running) ofLength(length time.Duration) *leaseList {
	for _, list := range r.lists {
		if list.length == length {
			return list
		}
	}
	list := &leaseList{length: length}
	r.lists = append(r.lists, list)
	return list
}

// dropUnused drops the lists that no consumer uses and that are empty.
func (r *running) dropUnused() {
	kept := r.lists[:0]
	for _, list := range r.lists {
		if list.users > 0 || list.first != nil {
			kept = append(kept, list)
		}
	}
	clear(r.lists[len(kept):])
	r.lists = kept
}

// add begins a lease on a job, and returns its delivery.
func (r *running) add(j *job, list *leaseList, now instant) *driver.Delivery {
	j.deliveries++
	l := &lease{of: r, job: j}
	d := &l.delivery
	d.Message, d.Failures, d.LastError = j.msg, j.failures, j.lastError
	d.Bounces, d.BouncedSince = j.bounces, j.bounced()
	d.Deliveries, d.Redeliveries, d.Receipt = j.deliveries, j.redeliveries, l
	list.push(l, now)
	r.n++
	return d
}

// held is the lease of a delivery, or nil if it is none of this queue or is not
// held any more.
func (r *running) held(d *driver.Delivery) *lease {
	l := leaseOf(d)
	if l == nil || l.of != r || l.job == nil {
		return nil
	}
	return l
}

// leaseOf is the lease that a delivery began with, or nil if it is none of this driver.
func leaseOf(d *driver.Delivery) *lease {
	if d == nil {
		return nil
	}
	l, _ := d.Receipt.(*lease)
	return l
}

// lock keeps a lease from ending, for a transaction that is to complete its job.
func (r *running) lock(l *lease, h *holder) {
	l.list.remove(l)
	l.locked = h
	if r.locked == nil {
		r.locked = make(map[*lease]struct{})
	}
	r.locked[l] = struct{}{}
}

// unlock lets a lease end at its deadline again.
func (r *running) unlock(l *lease) {
	delete(r.locked, l)
	l.locked = nil
	r.ofLength(l.list.length).insert(l) // its own list may have been dropped
}

// remove ends a lease and returns its job.
func (r *running) remove(l *lease) *job {
	j := l.job
	if l.locked == nil {
		l.list.remove(l)
	} else {
		delete(r.locked, l)
		l.locked = nil
	}
	l.job = nil
	r.n--
	return j
}

// first is the lease that ends first, or nil.
func (r *running) first() *lease {
	var first *lease
	for _, list := range r.lists {
		if list.first != nil && (first == nil || list.first.deadline < first.deadline) {
			first = list.first
		}
	}
	return first
}

// clear ends all leases, and returns the bytes and the number of their jobs.
func (r *running) clear() (bytes int64, jobs int) {
	for l := range r.locked {
		bytes += r.remove(l).size
		jobs++
	}
	for _, list := range r.lists {
		for list.first != nil {
			bytes += r.remove(list.first).size
			jobs++
		}
	}
	return bytes, jobs
}
