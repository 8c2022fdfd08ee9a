package postgres

import (
	"sync"
	"time"
)

// ringGap is how often a process rings for a queue at most: a notification takes a lock of the whole server at
// the commit.
const ringGap = 10 * time.Millisecond

// txRings decides which transactions of the application ring: the server lets those that notify commit one at a
// time, so that 64 callers would share no sync. When they commit, and whether they do, is not known: so what
// they have rung silences nothing else, and the driver rings a little later for those that did not.
type txRings struct {
	loud  func(queues []string) // wakes those who wait, in all processes
	done  chan struct{}
	ended sync.WaitGroup

	mu      sync.Mutex // guards following
	queues  map[string]*inTx
	echoing bool // one goroutine, for all queues, is about to ring for those that did not
	over    bool
}

// inTx is what transactions have rung for a queue.
type inTx struct {
	rang    time.Time // the latest that is to notify
	skipped time.Time // the latest that is not, zero if the driver has rung for it
}

// newTxRings makes one that has rung nothing.
func newTxRings() *txRings {
	return &txRings{done: make(chan struct{}), queues: make(map[string]*inTx)}
}

// rings tells whether a transaction is to notify with its commit.
func (r *txRings) rings(queue string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.queues[queue]
	if s == nil {
		s = new(inTx)
		r.queues[queue] = s
	}
	now := time.Now()
	if now.Sub(s.rang) >= ringGap {
		s.rang = now
		return true
	}
	s.skipped = now
	if !r.echoing && !r.over {
		r.echoing = true
		r.ended.Go(r.echo)
	}
	return false
}

// echo rings for transactions that did not, when none has come to their queue for a while, unless a later one has rung.
// It ends when there are none. Ringing takes as long as the server does, and more may come meanwhile: their turn is next.
func (r *txRings) echo() {
	ticker := time.NewTicker(ringGap)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-r.done:
			return
		}
		quiet, more := r.quiet()
		if len(quiet) > 0 {
			r.loud(quiet)
		}
		if !more {
			return
		}
	}
}

// quiet returns the queues to ring for now, and whether echo is to look again: after it has rung, in any case.
func (r *txRings) quiet() (queues []string, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for queue, s := range r.queues {
		switch {
		case s.skipped.IsZero():
		case s.rang.After(s.skipped):
			s.skipped = time.Time{}
		case time.Since(s.skipped) >= ringGap:
			s.skipped = time.Time{}
			queues = append(queues, queue)
		default:
			more = true
		}
	}
	r.echoing = more || len(queues) > 0
	return queues, r.echoing
}

// close ends ringing, once.
func (r *txRings) close() {
	r.mu.Lock()
	if !r.over {
		r.over = true
		close(r.done)
	}
	r.mu.Unlock()
	r.ended.Wait()
}
