package idempotency

import (
	"context"
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
