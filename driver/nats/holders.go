package nats

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
)

// A server in this process goes by the time of day for leases, too. If that is set ahead
// it hands out what is still held, and if it is set back it keeps what nobody holds any
// more. All who hold something are in this process, so it knows better: each has its lease
// by the monotonic clock.

// holders are the receipts of what consumers of this process hold of a queue. A nil one
// knows of nobody: the server is elsewhere. The methods may be called concurrently.
type holders struct {
	mending chan struct{} // holds one value while somebody corrects the queue's schedules

	mu    sync.Mutex // guards following
	bySeq map[uint64]*receipt
	swept time.Duration // when those were dropped whose leases are over, since began
}

// overTime is after how long a lease that has ended is of no interest: the server has the
// entry in its list of what is to be handed out again, whatever its clock is set to.
const overTime = 10 * time.Second

// newHolders are those of a queue of which nothing is held.
func newHolders() *holders {
	return &holders{mending: make(chan struct{}, 1), bySeq: make(map[uint64]*receipt)}
}

// add takes note of deliveries that a Receive is about to return.
func (h *holders) add(deliveries []*driver.Delivery) {
	if h == nil || len(deliveries) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range deliveries {
		r := d.Receipt.(*receipt)
		if old := h.bySeq[r.seq]; old != nil {
			if old.delivered > r.delivered {
				continue // it has another holder since
			}
			r.spared = old.spared
		}
		h.bySeq[r.seq] = r
	}
	now := time.Since(began)
	if now-h.swept < overTime {
		return
	}
	h.swept = now
	maps.DeleteFunc(h.bySeq, func(_ uint64, r *receipt) bool { return r.left() < -overTime })
}

// begin lets one at a time correct the queue's schedules, until end is called.
func (h *holders) begin(ctx context.Context) (end func(), err error) {
	select {
	case h.mending <- struct{}{}:
		return func() { <-h.mending }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// drop forgets what was settled.
func (h *holders) drop(receipts []*receipt) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range receipts {
		if r.settled.Load() && h.bySeq[r.seq] == r {
			delete(h.bySeq, r.seq)
		}
	}
}

// spare tells whether an entry that the server hands out again is held, and for how long:
// nobody else had it since, and its holder keeps it.
func (h *holders) spare(seq uint64, delivered int64) (left time.Duration, held bool) {
	if h == nil {
		return 0, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.bySeq[seq]
	if r == nil || r.settled.Load() || r.left() <= 0 || delivered != r.delivered+int64(r.again)+1 {
		return 0, false
	}
	r.again++
	r.spared++
	return r.most(), true
}

// lost is how many holders of an entry vanished, if it is handed out for the delivered-th
// time: all before this time but those who kept it.
func (h *holders) lost(seq uint64, delivered int64) int {
	lost := int(delivered) - 1
	if h == nil || lost == 0 {
		return lost
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.bySeq[seq]; r != nil {
		lost -= r.spared
	}
	return max(lost, 0)
}

// held are the receipts of what is held, or was until a moment ago.
func (h *holders) held() (all []*receipt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.bySeq {
		if !r.settled.Load() && r.left() > -overTime {
			all = append(all, r)
		}
	}
	return all
}
