package conformance

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/idempotency"
)

var claimsCases = []Case{
	{Name: "idempotency-full", Rule: "A store that is full refuses new keys, says so and forgets none; a job that it refuses runs when there is room.", run: caseIdempotencyFull},
	{Name: "idempotency-again", Rule: "Completing a claim again is a no-op, and neither a claim that is complete nor one that has expired can be extended.", run: caseIdempotencyAgain},
	{Name: "idempotency-outlives", Rule: "A handler that goes on after its context has ended keeps its claim, and its success counts.", run: caseIdempotencyOutlives},
}

// wantState ends the case unless a key is in a state. It claims one that is fresh.
func (s *stage) wantState(store idempotency.Store, key string, ttl time.Duration, want idempotency.State, why string) idempotency.Claim {
	claim, state, err := store.Begin(s.ctx, key, ttl)
	s.check(err, "claim %q", key)
	equal(s, state, want, "the state of %q, %s", key, why)
	return claim
}

func caseIdempotencyFull(s *stage) {
	store := idempotency.NewMemory(2)
	first := s.wantState(store, "first", time.Hour, idempotency.Fresh, "in an empty store")
	s.check(store.Complete(s.ctx, s.wantState(store, "second", time.Hour, idempotency.Fresh, "in a store with room for two"), time.Hour), "complete")
	for range 2 {
		_, _, err := store.Begin(s.ctx, "third", time.Hour)
		s.is(err, idempotency.ErrFull, "claim a third key of two")
	}
	s.wantState(store, "first", time.Hour, idempotency.InProgress, "which is held in a full store")
	s.wantState(store, "second", time.Hour, idempotency.Done, "which is done in a full store")
	q := s.portable()
	var effects atomic.Int32
	s.work(s.open(), func(context.Context, *batch.Job[task]) error { effects.Add(1); return nil }, idempotentWith(store), func(c *batch.WorkerConfig) { c.MaxAttempts = 1000 })
	enqueue(s, q, 0)
	s.waitCount(1, Failed)
	equal(s, effects.Load(), 0, "effects of a job whose key the store refuses")
	s.check(store.Abandon(s.ctx, first), "give up the first claim")
	s.waitCount(1, Done)
	equal(s, effects.Load(), 1, "effects of a job whose key the store has room for")
	s.wantState(store, "second", time.Hour, idempotency.Done, "when another key was given up")
}

func caseIdempotencyAgain(s *stage) {
	const brief = time.Second
	store := s.store()
	done := s.wantState(store, "done", time.Hour, idempotency.Fresh, "at first")
	for range 2 {
		s.check(store.Complete(s.ctx, done, time.Hour), "complete")
	}
	s.is(store.Extend(s.ctx, done, time.Hour), idempotency.ErrLost, "extend a claim that is complete")
	s.wantState(store, "done", time.Hour, idempotency.Done, "after it was completed twice")

	// The first to be claimed ends last.
	long := s.wantState(store, "long", brief, idempotency.Fresh, "at first")
	expired := s.wantState(store, "expired", brief, idempotency.Fresh, "at first")
	abandoned := s.wantState(store, "abandoned", time.Hour, idempotency.Fresh, "at first")
	s.check(store.Extend(s.ctx, long, time.Hour), "extend")
	s.check(store.Extend(s.ctx, expired, brief), "extend")
	s.check(store.Abandon(s.ctx, abandoned), "give up")
	s.pass(2 * brief)
	s.is(store.Extend(s.ctx, expired, time.Hour), idempotency.ErrLost, "extend a claim that has expired")
	s.is(store.Extend(s.ctx, abandoned, time.Hour), idempotency.ErrLost, "extend a claim that was given up")
	s.is(store.Complete(s.ctx, abandoned, time.Hour), idempotency.ErrLost, "complete a claim that was given up")
	s.wantState(store, "expired", time.Hour, idempotency.Fresh, "after its claim has expired")
	s.wantState(store, "abandoned", time.Hour, idempotency.Fresh, "after its claim was given up")
	s.wantState(store, "long", time.Hour, idempotency.InProgress, "which was extended for long")
}

func caseIdempotencyOutlives(s *stage) {
	const ttl = time.Second
	store := s.store()
	gate := s.gate()
	q := s.portable()
	var running atomic.Bool
	s.work(s.open(), func(ctx context.Context, _ *batch.Job[task]) error {
		running.Store(true)
		<-ctx.Done() // and goes on
		<-gate.done
		return nil
	}, idempotentWith(store, idempotency.TTL(ttl)), func(c *batch.WorkerConfig) { c.StuckAfter, c.MaxAttempts = time.Hour, 1000 })
	enqueue(s, q, 0, batch.Timeout(q, 200*time.Millisecond))
	s.eventually("the handler to run, if the store claims the key within the timeout", func() error {
		if !running.Load() {
			return errors.New("it does not")
		}
		return nil
	})
	ended := s.history.Count(Done, Failed, Returned)
	s.pass(ttl + ttl/2)
	if s.strained() {
		s.slow("a claim of %s cannot be renewed in time", ttl)
	}
	s.wantState(store, name(0), ttl, idempotency.InProgress, "whose handler goes on after its timeout, beyond the TTL")
	gate.open()
	s.waitCount(ended+1, Done, Failed, Returned)
	equal(s, s.history.Count(Done), 1, "jobs done by a handler that succeeded after its timeout")
	s.wantState(store, name(0), ttl, idempotency.Done, "whose handler has succeeded")
}
