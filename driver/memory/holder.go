package memory

import (
	"context"
	"sync"
)

// holder is a transaction as those see it that wait for its end: one that holds a key or a
// delivery.
type holder struct {
	conn *connection // of the handle that began it
	// done is closed when it has ended and holds nothing any more.
	done chan struct{}
	// end rolls it back, unless it has ended; why is the kind of its errors from then on.
	end func(why error)
}

// await waits until the holder has ended, or the caller's ctx, connection or own transaction
// has: own is nil without one. What it was, the caller's next try finds out.
func (h *holder) await(ctx context.Context, conn *connection, own *holder) {
	var ended <-chan struct{}
	if own != nil {
		ended = own.done
	}
	select {
	case <-h.done:
	case <-ended:
	case <-conn.ended:
	case <-ctx.Done():
	}
}

// heldKey is a dedup key that a transaction holds for a job of its own.
type heldKey struct {
	by *holder
	id string // of the job
}

// hintHeld is what to do about a key that a transaction holds.
const hintHeld = "it is known when the transaction has ended"

// holders are the open transactions of a broker, and which of them waits for which. Its lock
// is a last one in the order: it takes none.
type holders struct {
	mu    sync.Mutex // guards following
	all   map[*holder]bool
	waits map[*holder]*holder
}

// add adds one that begins.
func (t *holders) add(h *holder) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all, t.waits = make(map[*holder]bool), make(map[*holder]*holder)
	}
	t.all[h] = true
}

// remove removes one that has ended.
func (t *holders) remove(h *holder) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, h)
	delete(t.waits, h)
}

// wait notes that one waits for another. It returns false, and notes nothing, if the other
// waits for it, perhaps by way of more. One that has ended waits for nothing.
func (t *holders) wait(h, other *holder) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for next := other; t.all[next]; next = t.waits[next] {
		if next == h {
			return false
		}
	}
	t.waits[h] = other
	return true
}

// waited notes that one does not wait any more.
func (t *holders) waited(h *holder) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.waits, h)
}

// endUnusable ends the transactions that were begun on connections which are not usable any
// more.
func (t *holders) endUnusable() {
	t.mu.Lock()
	var some []*holder
	for h := range t.all {
		if h.conn.usable() != nil {
			some = append(some, h)
		}
	}
	t.mu.Unlock()
	for _, h := range some {
		h.end(h.conn.usable())
	}
}
