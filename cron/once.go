package cron

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/idempotency"
	"github.com/batch-go/batch/internal/lifecycle"
)

// once is the means by which a tick that several processes try to store is stored once.
type once[D batch.Driver] interface {
	// check refuses a schedule for which it cannot do that. needed is how long others may
	// try to store a tick.
	check(e *Entry[D], needed time.Duration) error
	// put stores the tick of a key, by calling send with the options that it adds, unless
	// it is stored already; stored tells whether this call did. The key is kept for so long,
	// or for as long as is possible.
	put(ctx context.Context, key string, keep time.Duration, send sender[D]) (stored bool, err error)
}

// sender enqueues a job with further options.
type sender[D batch.Driver] func(ctx context.Context, options ...batch.Option[D]) (batch.Receipt, error)

// callTimeout bounds one call that stores a tick. Whether the tick is too late is known
// before the call, so it may reach the broker so much later.
const callTimeout = 30 * time.Second

// stopGrace is how long a call that stores a tick may go on after the scheduler was stopped,
// so that it is known what became of the job, and how long a store may take to be told.
const stopGrace = 5 * time.Second

// unique stores ticks under unique keys.
type unique[D batch.Deduplicator] struct{ queue *batch.Queue[D] }

// check compares with what the broker remembers.
func (u unique[D]) check(e *Entry[D], needed time.Duration) error {
	window := u.queue.Driver().DedupWindow()
	if needed <= window {
		return nil
	}
	return &batch.InvalidError{
		Field: "Missed of schedule " + shorten(e.Name), Value: e.Missed.within.String(),
		Bound: fmt.Sprintf("such that Missed, twice MaxSkew and %s, %s together, are at most the driver's DedupWindow of %s", callTimeout, needed, window),
	}
}

// put makes the broker refuse what is stored. What check has let through is within its
// window.
func (u unique[D]) put(ctx context.Context, key string, keep time.Duration, send sender[D]) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	receipt, err := send(ctx, batch.UniqueWithin(u.queue, key, min(keep, u.queue.Driver().DedupWindow())))
	return err == nil && !receipt.Duplicate, err
}

// claimed stores ticks under claims of a store.
type claimed[D batch.Driver] struct {
	store idempotency.Store
	ttl   time.Duration
}

// check wants time for another process, after one has died with its claim. The store
// remembers for as long as it is told.
func (c claimed[D]) check(e *Entry[D], _ time.Duration) error {
	if e.Missed.within > c.ttl {
		return nil
	}
	return &batch.InvalidError{
		Field: "Missed of schedule " + shorten(e.Name), Value: e.Missed.within.String(),
		Bound: fmt.Sprintf("longer than the Claim of %s, or a tick is lost with the process that claimed it", c.ttl),
	}
}

var (
	// errHeld: another process is storing the tick, or died of it.
	errHeld = errors.New("another process holds the tick's claim")
	// errUnmarked: the job is stored, and the store does not know.
	errUnmarked = errors.New("cron: the job is stored, but the idempotency store could not be told: another process may store it again, under the same ID")
)

// put claims the key, sends, and marks the key as done. A process that dies before the mark
// leaves a claim, which expires, and then another one sends the job again.
func (c claimed[D]) put(ctx context.Context, key string, keep time.Duration, send sender[D]) (bool, error) {
	// From before the claim, as the store may have begun it at any time since then.
	trying, cancel := context.WithTimeout(ctx, c.ttl/2)
	defer cancel()
	key = "tick:" + key // the job's ID is the key of idempotency.Middleware, perhaps in the same store
	claim, state, err := c.store.Begin(trying, key, c.ttl)
	switch {
	case err != nil:
		return false, &foreignError{fmt.Errorf("cron: claim %s: %w", key, err)}
	case state == idempotency.Done:
		return false, nil
	case state == idempotency.InProgress:
		return false, errHeld
	case state != idempotency.Fresh:
		return false, fmt.Errorf("cron: claim %s: the store's answer is %s", key, state)
	}
	receipt, err := send(trying)
	// What is known has to be told, also if the scheduler stops now.
	telling, stop := context.WithTimeout(context.WithoutCancel(ctx), min(c.ttl/4, stopGrace))
	defer stop()
	if err != nil {
		if failed := c.store.Abandon(telling, claim); failed != nil {
			err = fmt.Errorf("%w; cron: give up the claim of %s, which is held for %s: %v", err, key, c.ttl, failed)
		}
		return false, err
	}
	if err := c.complete(telling, claim, keep); err != nil {
		return true, fmt.Errorf("%w: %w", errUnmarked, err)
	}
	return !receipt.Duplicate, nil // the entry's options may have a unique key of their own
}

// complete marks the key as done, and tries again until ctx ends.
func (c claimed[D]) complete(ctx context.Context, claim idempotency.Claim, retention time.Duration) error {
	var wait backoff
	for {
		err := c.store.Complete(ctx, claim, retention)
		if err == nil || errors.Is(err, idempotency.ErrLost) {
			return err
		}
		if lifecycle.Sleep(ctx, wait.next()) != nil {
			return err
		}
	}
}

// guarded is a store whose panics are errors.
type guarded struct{ idempotency.Store }

// Begin implements [idempotency.Store], as do the methods below.
func (g guarded) Begin(ctx context.Context, key string, ttl time.Duration) (claim idempotency.Claim, state idempotency.State, err error) {
	defer recovered(&err)
	return g.Store.Begin(ctx, key, ttl)
}

func (g guarded) Complete(ctx context.Context, claim idempotency.Claim, retention time.Duration) (err error) {
	defer recovered(&err)
	return g.Store.Complete(ctx, claim, retention)
}

func (g guarded) Abandon(ctx context.Context, claim idempotency.Claim) (err error) {
	defer recovered(&err)
	return g.Store.Abandon(ctx, claim)
}

// recovered makes an error of a panic of the store.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("the store panicked: %v", r)
	}
}
