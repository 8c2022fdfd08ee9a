package idempotency

import (
	"context"
	"sync/atomic"
)

// renewals are those of a claim, of which none is made in the quiet of a transaction.
type renewals struct {
	quiet atomic.Int32  // how many want it
	turn  chan struct{} // is full while a renewal is under way
}

// newRenewals returns those of a new claim.
func newRenewals() *renewals { return &renewals{turn: make(chan struct{}, 1)} }

// enter begins a renewal, or returns false if it can wait and is not to disturb.
func (r *renewals) enter(canWait bool) bool {
	r.turn <- struct{}{}
	if canWait && r.quiet.Load() > 0 {
		r.leave()
		return false
	}
	return true
}

// leave ends a renewal.
func (r *renewals) leave() { <-r.turn }

// Quiet keeps the claim of the handler with this context from being renewed until end is
// called, but for no longer than it lasts: the [Middleware] puts renewals off that come
// in the next third of its [TTL], and maybe a third more. If one is under way Quiet waits
// until it has ended, or ctx has. Outside of a handler that the Middleware wraps it does
// nothing.
//
// It is for transactions that are to complete the claim, in their longest part: under
// snapshot isolation, that of REPEATABLE READ and SERIALIZABLE on many databases, a
// transaction cannot change a row that was renewed after it began, and fails. InTx of
// packages sqlstore and pgxstore calls it.
func Quiet(ctx context.Context) (end func()) {
	h, ok := ctx.Value(claimKey{}).(held)
	if !ok {
		return func() {}
	}
	h.renewals.quiet.Add(1)
	select {
	case h.renewals.turn <- struct{}{}:
		h.renewals.leave()
	case <-ctx.Done():
	}
	var ended atomic.Bool
	return func() {
		if ended.CompareAndSwap(false, true) {
			h.renewals.quiet.Add(-1)
		}
	}
}
