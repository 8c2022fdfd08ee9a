package redis

import (
	"context"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
)

// waker keeps the Receive calls of one consumer that found nothing, until there may be
// something.
//
// The token is one element of a list. Every script that makes a job ready pushes
// it if the list is empty, and BLPOP gives it to the one that waited longest.
// A token that comes between a fetch and the BLPOP stays in the list, so no
// wake-up is lost; one that no consumer needs costs its taker one empty fetch.
type waker struct {
	*fetcher
	// began has a listener wait for the token.
	began func()

	mu      sync.Mutex // guards following
	waiting []*waiter  // longest first
}

// waiter is a Receive call that waits, for max jobs at most.
type waiter struct {
	max    int
	served chan served // holds one
}

// served is what ends the waiting: jobs, or an error, or neither if the call is to
// fetch again itself. With token it has the queue's token, and is to fetch or to pass it on.
type served struct {
	jobs  []*driver.Delivery
	err   error
	token bool
}

// add adds a waiter.
func (w *waker) add(max int) *waiter {
	one := &waiter{max: max, served: make(chan served, 1)}
	w.mu.Lock()
	w.waiting = append(w.waiting, one)
	w.mu.Unlock()
	w.began()
	return one
}

// remove takes out a waiter that does not wait any more. It returns what the waiter was just
// given.
func (w *waker) remove(one *waiter) served {
	w.mu.Lock()
	for i, other := range w.waiting {
		if other == one {
			w.waiting = append(w.waiting[:i], w.waiting[i+1:]...)
			w.mu.Unlock()
			return served{}
		}
	}
	w.mu.Unlock()
	return <-one.served
}

// first is the max of the waiter that has waited longest. False says that none waits.
func (w *waker) first() (max int, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 {
		return 0, false
	}
	return w.waiting[0].max, true
}

// wake gives what was found to the waiter that has waited longest of those that
// take as much. False says that there is none.
func (w *waker) wake(f served) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, one := range w.waiting {
		if one.max >= len(f.jobs) {
			w.waiting = append(w.waiting[:i], w.waiting[i+1:]...)
			one.served <- f
			return true
		}
	}
	return false
}

// wakeAll ends the waiting of all with an error, or to have each fetch.
func (w *waker) wakeAll(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.waiting {
		one.served <- served{err: err}
	}
	w.waiting = nil
}

// nudge has a Receive fetch that waits, if the consumer has not looked for so long: a token may
// be lost, or something be due that nobody has a timer for.
func (w *waker) nudge(after time.Duration) {
	if time.Now().UnixNano()-w.looked.Load() >= int64(after) {
		w.wake(served{})
	}
}

// passOn returns the token to the queue, for another consumer. If that fails, the job waits
// for the look that consumers take every few seconds.
func (w *waker) passOn() {
	_, _ = w.conn.eval(context.Background(), passScript, passScript.args(w.names, 0))
}
