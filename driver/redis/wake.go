package redis

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
)

// blockFor is how long one BLPOP waits at most. It bounds how long a queue stands
// still when a consumer dies between taking the token and fetching, and how long
// a connection that the network dropped silently goes unnoticed. A look each few
// seconds and process costs the server nothing to speak of.
const blockFor = 5 * time.Second

// blockWithin is how long a BLPOP may wait on a client that gives up reading a
// reply after timeout, not positive for never.
func blockWithin(timeout time.Duration) time.Duration {
	if timeout <= 0 {
		return blockFor
	}
	return min(blockFor, timeout/2)
}

// waker waits for tokens while there are Receive calls that found nothing.
//
// The token is one element of a list that whoever makes a job ready pushes if
// the list is empty. BLPOP gives it to the consumer that waited longest. A
// token that comes between a fetch and the BLPOP stays in the list, so that no
// wake-up is lost; one that nobody needs costs its taker one empty fetch.
//
// The fetch is sent together with the BLPOP, on the same connection: the server
// holds it back while that connection is blocked, and runs it as soon as the
// token comes. So a job is picked up from an idle queue in one round trip, and
// yet everything that decides what is handed out (the pause, priorities, what
// is due) is decided in the one fetch script.
type waker struct {
	c *consumer

	mu      sync.Mutex // guards following
	waiting []*waiter  // longest first
	blocked bool       // the goroutine with the BLPOP runs
}

// waiter is a Receive call that waits, for max jobs at most.
type waiter struct {
	max int
	ch  chan found
}

// found is what ends the waiting: jobs, or an error, or neither where the call
// shall fetch for itself.
type found struct {
	got []*driver.Delivery
	err error
}

var errPoked = errors.New("the consumer was closed")

// join adds a waiter, and starts to wait if nobody did yet.
func (w *waker) join(max int) *waiter {
	one := &waiter{max: max, ch: make(chan found, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = append(w.waiting, one)
	if !w.blocked {
		w.blocked = w.c.spawn(w.block)
	}
	return one
}

// leave takes a waiter out that does not wait any more. Jobs that it was just
// given are returned, as if they had not been handed out.
func (w *waker) leave(one *waiter) {
	w.mu.Lock()
	for i, other := range w.waiting {
		if other == one {
			w.waiting = append(w.waiting[:i], w.waiting[i+1:]...)
			w.mu.Unlock()
			return
		}
	}
	w.mu.Unlock()
	if f := <-one.ch; len(f.got) > 0 {
		// On a consumer that was closed they come back when the lease ends.
		w.c.spawn(func() { w.c.giveBack(f.got) })
	}
}

// first is the max of the waiter that waited longest; false ends the goroutine
// that asks, as nobody waits.
func (w *waker) first() (max int, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 {
		w.blocked = false
		return 0, false
	}
	return w.waiting[0].max, true
}

// hand gives what was found to the waiter that waited longest and takes as much;
// false if there is none.
func (w *waker) hand(f found) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, one := range w.waiting {
		if one.max >= len(f.got) {
			w.waiting = append(w.waiting[:i], w.waiting[i+1:]...)
			one.ch <- f
			return true
		}
	}
	return false
}

// fail ends the waiting of all.
func (w *waker) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.waiting {
		one.ch <- found{err: err}
	}
	w.waiting = nil
}

// block waits for tokens and fetches until nobody wants any.
func (w *waker) block() {
	for {
		max, ok := w.first()
		if !ok {
			return
		}
		woken, got, err := w.wait(max)
		switch {
		case err != nil:
			w.fail(err)
		case (woken || len(got) > 0) && !w.hand(found{got: got}):
			w.c.giveBack(got)
		}
	}
}

// wait sends the BLPOP and the fetch behind it. woken tells that the waiter
// shall fetch for itself, as this fetch was refused.
func (w *waker) wait(max int) (woken bool, got []*driver.Delivery, err error) {
	c := w.c
	if c.isClosed() {
		return false, nil, errPoked
	}
	chunk := c.chunk()
	poke := c.k.poke(c.name)
	replies, err := c.d.pipeline(
		[]any{"blpop", c.k.wake, poke, strconv.FormatFloat(c.d.block.Seconds(), 'f', 3, 64)},
		append(receiveScript.args(c.k, 4), max, c.name, chunk, 0),
	)
	if err != nil {
		return false, nil, err
	}
	token := reader{buf: replies[0]}
	poked := token.array() == 2 && text(token.bytes()) == poke
	if token.err != nil {
		return false, nil, token.err
	}
	got, bad, err := c.fetched(replies[1])
	if _, refused := err.(serverError); refused {
		// The script is not loaded, or the server has changed its role: fetch
		// knows what to do.
		return true, nil, nil
	}
	if err != nil {
		return false, nil, err
	}
	c.expect(max, got)
	if len(bad) > 0 {
		if err := c.bury(bad); err != nil {
			c.giveBack(got)
			return false, nil, err
		}
	}
	if poked {
		c.giveBack(got)
		return false, nil, errPoked
	}
	return false, got, nil
}

// poke ends the BLPOP of a consumer that closes.
func (w *waker) poke(ctx context.Context) error {
	w.mu.Lock()
	blocked := w.blocked
	w.mu.Unlock()
	if !blocked {
		return nil
	}
	poke := w.c.k.poke(w.c.name)
	_, err := w.c.d.eval(ctx, pokeScript, pokeScript.args(w.c.k, 0, poke))
	return err
}
