package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

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
// If the isolation of transactions is REPEATABLE READ or SERIALIZABLE by default, as on
// MariaDB, a transaction can fail during which the claim is renewed: its time must be
// less than a third of the claim's TTL.
//
// On MySQL and SQLite some errors undo all of a transaction and not the statement alone,
// and on MySQL some statements, of DDL, commit it. If f goes on after that and returns nil,
// InTx fails with an error that says so.
//
// Without a claim in ctx InTx does not call f.
func (s *Store) InTx(ctx context.Context, f func(tx *sql.Tx) error) error {
	claim, ok := idempotency.ClaimOf(ctx)
	if !ok {
		return errors.New("idempotency/sqlstore: the context is not that of a handler behind idempotency.Middleware, so there is no claim to complete")
	}
	defer idempotency.Quiet(ctx)()
	return inTx(ctx, s.db, nil, func(tx *sql.Tx) error {
		if err := s.whole(ctx, tx, f); err != nil {
			return err
		}
		return s.CompleteTx(ctx, tx, claim, idempotency.RetentionOf(ctx))
	})
}

// savepoint is set at the beginning of a transaction, and is there as long as it is.
const savepoint = "batch_idempotency"

// whole calls f in a transaction. It returns an error if the transaction has ended when f
// returns without one: what the database runs then takes effect by itself. PostgreSQL runs
// nothing in a transaction that has failed, and has no need of it.
func (s *Store) whole(ctx context.Context, tx *sql.Tx, f func(tx *sql.Tx) error) error {
	if !s.dialect.texts().unravels {
		return f(tx)
	}
	if _, err := tx.ExecContext(ctx, "SAVEPOINT "+savepoint); err != nil {
		return s.failed("begin a transaction", err)
	}
	if err := f(tx); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "RELEASE SAVEPOINT "+savepoint); err != nil {
		if ctx.Err() != nil {
			return s.failed("complete in a transaction", err)
		}
		return fmt.Errorf("idempotency/sqlstore: the transaction of InTx has ended before its function returned: it was undone because of an error, or a statement has committed it: return the errors of statements, and run no DDL: %w", err)
	}
	return nil
}

// CompleteTx is [Store.Complete] as part of a transaction, which must be of the database
// of the store: the key is done when tx is committed. If the error is
// [idempotency.ErrLost], or any other, tx must be rolled back, and so it must be if a
// statement in it has failed. It is called last, before the commit: from the call on, renewals of the claim wait for the end of tx, and the
// handler is cancelled when they have waited for the claim's TTL. Nobody else gets the
// key while tx is open.
func (s *Store) CompleteTx(ctx context.Context, tx *sql.Tx, claim idempotency.Claim, retention time.Duration) error {
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
