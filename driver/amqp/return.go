package amqp

import "slices"

// returnKey identifies a returned message well enough: of two messages with one
// ID for one queue that does not exist, both are returned.
type returnKey struct{ queue, id string }

// unrouted is the messages that the broker has returned and whose publishers have not
// asked so far.
type unrouted struct {
	counts map[returnKey]int
	// left are publications whose publishers gave up, and will not ask.
	left []leftover
}

// leftover is a publication of which nobody awaits what becomes of it. A message that
// comes back for it must not stay: it would pass for a later one with the same ID.
type leftover struct {
	key returnKey
	// answered is closed when the broker has confirmed or refused it: if it was returned,
	// that was before.
	answered <-chan struct{}
}

// add notes a message that was returned.
func (r *unrouted) add(key returnKey) {
	if r.counts == nil {
		r.counts = make(map[returnKey]int)
	}
	r.counts[key]++
}

// take tells whether a message was returned, and forgets it.
func (r *unrouted) take(key returnKey) bool {
	n := r.counts[key]
	switch {
	case n == 0:
		return false
	case n == 1:
		delete(r.counts, key)
	default:
		r.counts[key] = n - 1
	}
	return true
}

// leave notes that nobody will ask for a publication that is not answered.
func (r *unrouted) leave(key returnKey, answered <-chan struct{}) {
	r.left = append(r.left, leftover{key, answered})
}

// sweep forgets the publications that were left and are answered by now.
func (r *unrouted) sweep() {
	r.left = slices.DeleteFunc(r.left, func(l leftover) bool {
		select {
		case <-l.answered:
			r.take(l.key)
			return true
		default:
			return false
		}
	})
}
