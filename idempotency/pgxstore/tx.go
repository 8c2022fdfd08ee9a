package pgxstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/idempotency"
)

// InTx calls f in a transaction, completes in it the claim of the handler whose context
// ctx is, for the middleware's retention, and commits: the effect and its mark happen
// both or not at all. If f returns an error or panics, the transaction is rolled back,
// and the error is InTx's. So it is with [idempotency.ErrLost] if the claim was lost, and
// with the database's error if others were in the way: the handler returns it, and the
// job is tried again.
//
// An error of the commit may leave open whether it was carried out. If it was, the key
// is done, and the next delivery is skipped.
//
// If a role or the database has REPEATABLE READ or SERIALIZABLE for its default, a
// transaction fails during which the claim is renewed: its time must be less than a third
// of the claim's TTL.
//
// Without a claim in ctx InTx does not call f.
func (s *Store) InTx(ctx context.Context, f func(tx pgx.Tx) error) error {
	claim, ok := idempotency.ClaimOf(ctx)
	if !ok {
		return errors.New("idempotency/pgxstore: the context is not that of a handler behind idempotency.Middleware, so there is no claim to complete")
	}
	defer idempotency.Quiet(ctx)()
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.leave()
	tx, err := s.db.Begin(ctx)
	if err != nil {
		return fmt.Errorf("idempotency/pgxstore: begin: %w", err)
	}
	defer func() { _ = tx.Rollback(ctx) }() // does nothing after a commit; closes the connection if ctx has ended
	if err := f(tx); err != nil {
		return err
	}
	if err := s.CompleteTx(ctx, tx, claim, idempotency.RetentionOf(ctx)); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// CompleteTx is [Store.Complete] as part of a transaction, which must be of the database
// of the store: the key is done when tx is committed. If the error is
// [idempotency.ErrLost], or any other, tx must be rolled back. It is called last, before
// the commit: from the call on, renewals of the claim wait for the end of tx, and the
// handler is cancelled when they have waited for the claim's TTL. Nobody else gets the
// key while tx is open.
func (s *Store) CompleteTx(ctx context.Context, tx pgx.Tx, claim idempotency.Claim, retention time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	key, lasts, err := arguments(claim.Key, retention)
	if err == nil {
		err = s.complete(ctx, tx, key, claim.Token, lasts)
	}
	if err == nil || errors.Is(err, idempotency.ErrLost) {
		return err
	}
	return s.failed("complete in a transaction", err)
}
