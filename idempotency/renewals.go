package idempotency

import "sync/atomic"

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

// leave ends one.
func (r *renewals) leave() { <-r.turn }
