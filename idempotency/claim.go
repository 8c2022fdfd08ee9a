package idempotency

import (
	"context"
	"sync/atomic"
	"time"
)

// claimKey is the key of what a handler holds, in its context.
type claimKey struct{}

// held is the claim of a handler, for how long its key will be done, and how the claim is
// renewed.
type held struct {
	claim     Claim
	retention time.Duration
	renewals  *renewals
}

// ClaimOf returns the claim that the handler with this context holds, and false
// outside of a handler that the [Middleware] wraps.
func ClaimOf(ctx context.Context) (Claim, bool) {
	h, ok := ctx.Value(claimKey{}).(held)
	return h.claim, ok
}

// RetentionOf returns for how long the key of the handler with this context will be
// done, the [Retention] of its middleware, for a store that completes the claim in a
// transaction. It is 0 outside of a handler that the [Middleware] wraps.
func RetentionOf(ctx context.Context) time.Duration {
	h, _ := ctx.Value(claimKey{}).(held)
	return h.retention
}

// Token returns the fencing token of the claim that the handler with this context
// holds, or 0, which no claim has.
func Token(ctx context.Context) uint64 {
	claim, _ := ClaimOf(ctx)
	return claim.Token
}

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
