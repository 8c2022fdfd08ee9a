package idempotency

import (
	"context"
	"errors"
	"time"
)

// State is what a [Store] knows about a key.
type State uint8

const (
	// Fresh: no claim held the key, and it is not done. The caller that gets this
	// answer now holds the key.
	Fresh State = iota + 1
	// InProgress: another claim holds the key.
	InProgress
	// Done: what the key stands for has been done.
	Done
)

// String is the state's name in lower case.
func (s State) String() string {
	switch s {
	case Fresh:
		return "fresh"
	case InProgress:
		return "in progress"
	case Done:
		return "done"
	}
	return "invalid"
}

// Claim is the right to work on a key until it expires.
type Claim struct {
	// Key is the key that is held.
	Key string
	// Token is the fencing token, which is greater than that of every earlier claim
	// on the key. A resource can refuse a token that is smaller than one it has
	// seen, and so refuse a holder that has lost its claim without knowing.
	Token uint64
}

var (
	// ErrLost: the claim has expired or was abandoned, and another claim may hold
	// the key by now. Nothing was changed.
	ErrLost = errors.New("idempotency: claim lost")
	// ErrFull: the store cannot hold another key. Nothing was changed.
	ErrFull = errors.New("idempotency: store full")
)

// Store remembers which keys are in progress and which are done. Its methods are
// called concurrently, by many processes if they share the store, and block until
// the store answers or ctx ends. After an error that is not from this package the
// call may or may not have been carried out, and may be repeated.
//
// The store's own clock decides what has expired. Methods take durations, so that
// clocks need not agree.
//
// A store whose data is in the same database as the effects of a handler can make
// the effect and the mark one transaction: it offers a method that completes a
// claim within a transaction, and the handler calls it with the claim from
// [ClaimOf]. The middleware then calls Complete for a claim that is already
// complete, which is why that is not an error. Package storetest checks an
// implementation.
type Store interface {
	// Begin claims the key for ttl if it is Fresh. If the key is InProgress or
	// Done, the claim is the zero value. A key is any non-empty sequence of bytes.
	// Of many concurrent calls exactly one gets the claim.
	Begin(ctx context.Context, key string, ttl time.Duration) (Claim, State, error)

	// Extend makes the claim expire ttl from now instead. If the claim is lost or
	// has ended, the error is ErrLost.
	Extend(ctx context.Context, claim Claim, ttl time.Duration) error

	// Complete makes the key Done for retention, after which it is Fresh again. It
	// is a no-op if this same claim has already completed the key. If the claim is
	// lost or was abandoned, the error is ErrLost.
	Complete(ctx context.Context, claim Claim, retention time.Duration) error

	// Abandon makes the key Fresh again if the claim holds it, and otherwise is a
	// no-op: it never touches what another claim holds or has done.
	Abandon(ctx context.Context, claim Claim) error
}
