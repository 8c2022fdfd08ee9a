package idempotency

import (
	"context"
	"errors"
	"time"
)

// State is what a [Store] knows of a key.
type State uint8

const (
	// Fresh: nobody holds the key and nothing is done under it. The caller that is
	// told so holds it from then on.
	Fresh State = iota + 1
	// InProgress: another claim holds the key.
	InProgress
	// Done: what the key stands for was done.
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
	// Token is the fencing token: greater than that of every claim on the key
	// before. A resource can refuse a token that is smaller than one it has seen,
	// and so a holder that has lost its claim without knowing.
	Token uint64
}

var (
	// ErrLost: the claim has expired or was abandoned, and another may hold the
	// key by now. Nothing was changed.
	ErrLost = errors.New("idempotency: claim lost")
	// ErrFull: the store has no room for another key. Nothing was changed.
	ErrFull = errors.New("idempotency: store full")
)

// Store remembers which keys are in progress and which are done. Its methods are
// called concurrently, from many processes where the store is shared, and block
// until the store answers or ctx ends. An error that is none of this package
// leaves open whether the call was carried out, and the call may be repeated.
//
// The store's own clock decides on what has expired; durations are passed so
// that clocks need not agree.
//
// A store whose data is in the same database as the effects of a handler can
// make both one transaction: it offers a method that completes a claim within a
// transaction, which the handler calls with the claim of [ClaimOf]. Complete
// is then called for a claim that is complete, which is why that is no error.
// Package storetest checks an implementation.
type Store interface {
	// Begin claims the key for ttl if it is Fresh. For a key that is InProgress
	// or Done the claim is the zero value. Keys are any non-empty bytes. Of many
	// concurrent calls exactly one gets the claim.
	Begin(ctx context.Context, key string, ttl time.Duration) (Claim, State, error)

	// Extend makes the claim expire ttl from now instead. A claim that is lost or
	// over is ErrLost.
	Extend(ctx context.Context, claim Claim, ttl time.Duration) error

	// Complete makes the key Done for retention, after which it is Fresh again.
	// Completing a claim again is a no-op; one that is lost or was abandoned is
	// ErrLost.
	Complete(ctx context.Context, claim Claim, retention time.Duration) error

	// Abandon makes the key Fresh again if the claim holds it, and is a no-op if
	// it does not: it never touches what another claim holds or has done.
	Abandon(ctx context.Context, claim Claim) error
}
