package sqs

import (
	"context"
	"time"

	"github.com/batch-go/batch/internal/fault"
)

const (
	// holdTime is how much time is between two requests that delete few jobs while others
	// are on their way: five jobs a request on a trickle of twenty a second. More saves
	// little, as a job costs a request to send and one to receive, and a crash lets what
	// is held run again.
	holdTime = 250 * time.Millisecond
	// holdStep is how often a call that holds looks whether it still should. A worker that
	// has run out of room waits that long for it at most.
	holdStep = 10 * time.Millisecond
	// holdMoment is when such a look that found no room is taken again: the worker's one
	// Receive has perhaps just returned, and the next has not begun.
	holdMoment = time.Millisecond
)

// holder decides for a consumer how long jobs that are done are held.
type holder struct {
	*poller
	// room is how many jobs Receive must wait for while any are held.
	room int
	// departed is when jobs were last deleted, since epoch, and handed what had been handed
	// out by then. The poller's mu guards them.
	departed time.Duration
	handed   uint64
}

// newHolder makes the holder of a consumer that holds prefetch jobs at most.
func newHolder(p *poller, prefetch int) *holder {
	return &holder{poller: p, room: max(min(prefetch/4, 3), 1), departed: sinceEpoch() - holdTime}
}

// hold waits before jobs that are done are deleted, if a request for them alone can be
// saved: what ends meanwhile is deleted by the next call, in one request. It does not if
// the last such request was long ago, so that a single job is deleted at once; or if the
// request is full, or others have been handed out that fill the next; or if the worker has
// little room for more jobs, as held ones take it. Leases that are not fresh, and a ctx
// that ends soon, are not held. The error is that of a ctx that ended meanwhile, before
// anything was sent.
func (h *holder) hold(ctx context.Context, receipts []*receipt) error {
	until := h.holdUntil(ctx, receipts)
	full := false // the look before found no room
	for {
		on, room := h.holds(until)
		if !on || full && !room {
			break
		}
		pause := holdStep
		if full = !room; full {
			pause = holdMoment
		}
		select {
		case <-time.After(pause):
		case <-h.stopped:
		case <-ctx.Done():
			return fault.NotSent{Err: endOf(ctx)}
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.departed, h.handed = sinceEpoch(), h.buffer.handed
	return nil
}

// holdUntil is when the time of a request for these jobs comes, since epoch; that of now
// if it has come.
func (h *holder) holdUntil(ctx context.Context, receipts []*receipt) time.Duration {
	now := sinceEpoch()
	if len(receipts) >= maxEntries {
		return now
	}
	h.mu.Lock()
	last, handed := h.departed, h.buffer.handed-h.handed
	h.mu.Unlock()
	until := min(last+holdTime, now+h.lease/8)
	if handed > 0 && now+(now-last)/time.Duration(handed) >= until {
		return now // at the rate so far no other job ends before then
	}
	if deadline, ok := ctx.Deadline(); ok {
		until = min(until, now+time.Until(deadline)/4)
	}
	for _, r := range receipts {
		if time.Duration(r.until.Load())-now < h.lease/2 {
			return now // it was not extended when it should have been
		}
	}
	return until
}

// holds tells whether to hold on until then, and whether the worker has room for more jobs.
func (h *holder) holds(until time.Duration) (on, room bool) {
	if sinceEpoch() >= until {
		return false, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	on = !h.gate.IsShut() && h.buffer.handed-h.handed < maxEntries && h.sources[0].trickles
	return on, h.buffer.wants() >= h.room
}
