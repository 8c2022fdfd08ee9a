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
	loud  func(queue string) // wakes those who wait, in all processes
	done  chan struct{}
	ended sync.WaitGroup

	mu     sync.Mutex // guards following
	queues map[string]*inTx
	over   bool
}

// inTx is what transactions have rung for a queue.
type inTx struct {
	rang    time.Time // the latest that is to notify
	skipped time.Time // the latest that is not
	echoing bool      // the driver will ring for those
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
	if !s.echoing && !r.over {
		s.echoing = true
		r.ended.Go(func() { r.echo(queue, s) })
	}
	return false
}

// echo rings for transactions that did not, when none has come for a while, unless a later one has rung.
func (r *txRings) echo(queue string, s *inTx) {
	ticker := time.NewTicker(ringGap)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-r.done:
			return
		}
		r.mu.Lock()
		later, quiet := s.rang.After(s.skipped), time.Since(s.skipped) >= ringGap
		s.echoing = !later && !quiet
		r.mu.Unlock()
		switch {
		case later:
			return
		case quiet:
			r.loud(queue)
			return
		}
	}
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
