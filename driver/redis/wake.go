package redis

import (
	"context"
	"errors"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// blockFor is how long one BLPOP waits. It bounds how long a queue stands still
// when a consumer dies between taking the token and fetching, and how long a
// connection that the network dropped silently goes unnoticed. A look each few
// seconds and process costs the server nothing to speak of.
const blockFor = 5 * time.Second

// waker waits for tokens while there are Receive calls that found nothing.
//
// The token is one element of a list that whoever makes a job ready pushes if
// the list is empty. BLPOP gives it to the consumer that waited longest. A
// token that comes between a fetch and the BLPOP stays in the list, so that no
// wake-up is lost; one that nobody needs costs its taker one empty fetch.
type waker struct {
	c *consumer

	mu      sync.Mutex // guards following
	waiting []*waiter  // longest first
	blocked bool       // the goroutine with the BLPOP runs
}

// waiter is a Receive call that waits. It is sent nil when it shall look, or
// the error that ended the waiting.
type waiter struct{ ch chan error }

var errPoked = errors.New("the consumer was closed")

// join adds a waiter, and starts to wait if nobody did yet.
func (w *waker) join() *waiter {
	one := &waiter{ch: make(chan error, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = append(w.waiting, one)
	if !w.blocked {
		w.blocked = w.c.spawn(w.block)
	}
	return one
}

// leave takes a waiter out that does not wait any more. A token that it was
// just given goes to another, of this process or of any.
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
	if err := <-one.ch; err == nil && !w.hand() {
		w.c.spawn(w.nudge) // a consumer that closes nudges anyway
	}
}

// hand lets the waiter look that waited longest; false if there is none.
func (w *waker) hand() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.handLocked()
}

func (w *waker) handLocked() bool {
	if len(w.waiting) == 0 {
		return false
	}
	one := w.waiting[0]
	w.waiting = append(w.waiting[:0], w.waiting[1:]...)
	one.ch <- nil
	return true
}

// block waits for tokens until nobody wants them.
func (w *waker) block() {
	for {
		err := w.pop()
		w.mu.Lock()
		nobody := false
		switch {
		case err == nil:
			nobody = !w.handLocked()
		case err == goredis.Nil:
			w.handLocked() // time for a look
		default:
			for _, one := range w.waiting {
				one.ch <- err
			}
			w.waiting = nil
		}
		end := len(w.waiting) == 0
		if end {
			w.blocked = false
		}
		w.mu.Unlock()
		if nobody {
			w.nudge()
		}
		if end {
			return
		}
	}
}

// pop waits for a token: nil if there was one, goredis.Nil if there was none.
func (w *waker) pop() error {
	if w.c.isClosed() {
		return errPoked
	}
	if !w.c.d.enter() {
		return goredis.ErrClosed
	}
	defer w.c.d.leave()
	poke := w.c.k.poke(w.c.name)
	got, err := w.c.d.client.BLPop(context.Background(), blockFor, w.c.k.wake, poke).Result()
	if err == nil && len(got) == 2 && got[0] == poke {
		return errPoked
	}
	return err
}

// nudge gives a token back to the server.
func (w *waker) nudge() {
	// If it fails, the look after blockFor finds what there is.
	_, _ = w.c.d.eval(context.Background(), nudgeScript, nudgeScript.args(w.c.k, 0))
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
