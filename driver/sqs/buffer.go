package sqs

import (
	"slices"

	"github.com/batch-go/batch/driver"
)

// buffer has the jobs that polls brought until Receive calls take them, and the
// calls that wait for jobs. Its owner's mutex guards it.
type buffer struct {
	ready   []*driver.Delivery // oldest first
	waiters []*waiter
	handed  uint64 // how many jobs were handed out
}

// waiter is a Receive call that waits, for max jobs at most.
type waiter struct {
	max    int
	served chan served // holds one
}

// served is what a waiter gets.
type served struct {
	deliveries []*driver.Delivery
	err        error
}

// take hands out jobs that are ready.
func (b *buffer) take(most int) []*driver.Delivery {
	n := min(most, len(b.ready))
	taken := slices.Clone(b.ready[:n])
	b.ready = slices.Delete(b.ready, 0, n)
	b.handed += uint64(n)
	return taken
}

// wants is how many jobs are waited for.
func (b *buffer) wants() (n int) {
	for _, w := range b.waiters {
		n += w.max
	}
	return n
}

// most is how many jobs a poll asks for beside so many others. Somebody must wait.
func (b *buffer) most(others int) int { return b.waiters[min(others, len(b.waiters)-1)].max }

// takeAll hands out all jobs that are ready.
func (b *buffer) takeAll() []*driver.Delivery {
	all := b.ready
	b.ready = nil
	return all
}

// put takes in jobs, and gives what is ready to the waiters.
func (b *buffer) put(deliveries ...*driver.Delivery) {
	b.ready = append(b.ready, deliveries...)
	for len(b.ready) > 0 && len(b.waiters) > 0 {
		w := b.next()
		w.served <- served{deliveries: b.take(w.max)}
	}
}

// fail gives an error to one waiter, if there is one.
func (b *buffer) fail(err error) {
	if len(b.waiters) > 0 {
		b.next().served <- served{err: err}
	}
}

// next removes the waiter that has waited for longest.
func (b *buffer) next() *waiter {
	w := b.waiters[0]
	b.waiters = slices.Delete(b.waiters, 0, 1)
	return w
}

// wait adds a waiter.
func (b *buffer) wait(most int) *waiter {
	w := &waiter{max: most, served: make(chan served, 1)}
	b.waiters = append(b.waiters, w)
	return w
}

// giveUp removes a waiter, and returns the jobs that it was given at the last
// moment.
func (b *buffer) giveUp(w *waiter) []*driver.Delivery {
	if i := slices.Index(b.waiters, w); i >= 0 {
		b.waiters = slices.Delete(b.waiters, i, i+1)
	}
	select {
	case s := <-w.served:
		return s.deliveries
	default:
		return nil
	}
}
