package redis

import (
	"context"
	"errors"
	"os"
	"strconv"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
)

// blockFor is how long one BLPOP waits at most. It bounds how long a queue stands
// still when a consumer dies between taking the token and fetching, and how long
// it goes unnoticed that the network dropped a connection silently. A look every
// few seconds for each process costs the server next to nothing.
const blockFor = 5 * time.Second

// patience is how much longer than it was asked to block a server may take to answer.
// After that the network or the server is taken for gone, whatever the timeout of other
// commands is, and the wait begins anew on another connection.
const patience = 5 * time.Second

// blockOn is how long a BLPOP may wait on a client that gives up reading a reply
// after a time of its own.
func blockOn(client goredis.UniversalClient) time.Duration {
	var timeout time.Duration // none, if not positive
	switch c := client.(type) {
	case *goredis.Client:
		timeout = c.Options().ReadTimeout
	case *goredis.ClusterClient:
		timeout = c.Options().ReadTimeout
	}
	if timeout <= 0 {
		return blockFor
	}
	return min(blockFor, timeout/2)
}

// waker waits for tokens while there are Receive calls that found nothing.
//
// The token is one element of a list. Every script that makes a job ready pushes
// it if the list is empty, and BLPOP gives it to the consumer that waited longest.
// A token that comes between a fetch and the BLPOP stays in the list, so no
// wake-up is lost; one that no consumer needs costs its taker one empty fetch.
//
// The fetch is sent together with the BLPOP, on the same connection: the server
// holds it back while that connection is blocked, and runs it as soon as the
// token comes. So a job is picked up from an idle queue in one round trip, and
// yet the one script that hands out jobs decides everything: the pause,
// priorities, what is due.
type waker struct {
	*fetcher
	block    time.Duration // how long one BLPOP waits
	patience time.Duration // how much longer its answer may take

	mu      sync.Mutex // guards following
	waiting []*waiter  // longest first
	blocked bool       // the goroutine with the BLPOP runs
}

// waiter is a Receive call that waits, for max jobs at most.
type waiter struct {
	max    int
	served chan served // holds one
}

// served is what ends the waiting: jobs, or an error, or neither if the call is to
// fetch again itself.
type served struct {
	jobs []*driver.Delivery
	err  error
}

// errUnblocked ends the waiting of a consumer that stops.
var errUnblocked = errors.New("the consumer was stopped")

// add adds a waiter, and starts the goroutine that waits for tokens unless it runs.
func (w *waker) add(max int) *waiter {
	one := &waiter{max: max, served: make(chan served, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = append(w.waiting, one)
	if !w.blocked {
		w.blocked = w.receiving.Go(w.serve)
	}
	return one
}

// remove takes out a waiter that does not wait any more. It returns jobs that the
// waiter was just given.
func (w *waker) remove(one *waiter) []*driver.Delivery {
	w.mu.Lock()
	for i, other := range w.waiting {
		if other == one {
			w.waiting = append(w.waiting[:i], w.waiting[i+1:]...)
			w.mu.Unlock()
			return nil
		}
	}
	w.mu.Unlock()
	f := <-one.served
	return f.jobs
}

// serve waits for tokens and fetches, until no Receive waits.
func (w *waker) serve() {
	for {
		max, ok := w.next()
		if !ok {
			return
		}
		f, woken := w.wait(max)
		switch {
		case f.err != nil:
			w.wakeAll(f.err)
		case woken && !w.wake(f):
			w.giveBack(f.jobs)
		}
	}
}

// next is the max of the waiter that has waited longest. False says that none
// waits, and ends the goroutine that asks.
func (w *waker) next() (max int, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 {
		w.blocked = false
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

// wakeAll ends the waiting of all with an error.
func (w *waker) wakeAll(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.waiting {
		one.served <- served{err: err}
	}
	w.waiting = nil
}

// wait sends the BLPOP and the fetch behind it. woken says that there is something
// for a waiter: jobs, or that it is to fetch again itself, as this fetch was
// refused.
func (w *waker) wait(max int) (f served, woken bool) {
	if w.stopped() {
		return served{err: errUnblocked}, false
	}
	unblock := w.names.unblock(w.name)
	replies, err := w.conn.pipeline(w.block+w.patience,
		[]any{"blpop", w.names.wake, unblock, strconv.FormatFloat(w.block.Seconds(), 'f', 3, 64)},
		w.receiveArgs(max, w.chunk()),
	)
	if errors.Is(err, context.DeadlineExceeded) {
		err = os.ErrDeadlineExceeded // of the patience with the server, not of a caller
	}
	if err != nil {
		return served{err: err}, false
	}
	token := reader{buf: replies[0]}
	unblocked := token.array() == 2 && unsafeString(token.bytes()) == unblock
	if token.err != nil {
		return served{err: token.err}, false
	}
	got, err := w.read(replies[1])
	if _, refused := err.(serverError); refused && !isMissing(err) {
		// The script is not loaded, or the server has changed its role: fetch
		// knows what to do.
		return served{}, true
	}
	if err != nil {
		return served{err: err}, false
	}
	if err := w.accept(max, got); err != nil {
		return served{err: err}, false
	}
	if unblocked {
		w.giveBack(got.jobs)
		return served{err: errUnblocked}, false
	}
	return served{jobs: got.jobs}, len(got.jobs) > 0
}

// unblock ends the BLPOP of a consumer that stops.
func (w *waker) unblock(ctx context.Context) error {
	w.mu.Lock()
	blocked := w.blocked
	w.mu.Unlock()
	if !blocked {
		return nil
	}
	_, err := w.conn.eval(ctx, unblockScript, unblockScript.args(w.names, 0, w.names.unblock(w.name)))
	return err
}
