package databases

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/idempotency"
	"github.com/batch-go/batch/idempotency/sqlstore"
)

// A transaction that a database has undone, or committed, behind the back of a handler that does not look, is not taken
// for a success: the mark of an effect that was undone would lose it.
func TestInTxThatHasEnded(t *testing.T) {
	each(t, func(t *testing.T, d database, db *sql.DB, store *sqlstore.Store) {
		l := newLedger(t, d, db)
		failing := map[sqlstore.Dialect]string{
			sqlstore.PostgreSQL: "SELECT 1 / 0",
			sqlstore.MySQL:      "ROLLBACK", // as after a deadlock
			sqlstore.SQLite:     "INSERT OR ROLLBACK INTO " + l.name + " VALUES (NULL)",
		}[d.dialect]
		err := deliver(t, store, func(ctx context.Context) error {
			return store.InTx(ctx, func(tx *sql.Tx) error {
				if err := l.pay(tx); err != nil {
					return err
				}
				_, _ = tx.ExecContext(ctx, failing) // and does not look
				return nil
			})
		})
		if err == nil || errors.Is(err, idempotency.ErrLost) {
			t.Errorf("the error is %v, want one that says that the transaction has ended", err)
		} else if d.dialect != sqlstore.PostgreSQL && !strings.Contains(err.Error(), "has ended before its function returned") {
			t.Errorf("the error is %v", err)
		}
		l.want(0, "after a transaction that was undone")
		if err := deliver(t, store, func(ctx context.Context) error { return store.InTx(ctx, l.pay) }); err != nil {
			t.Errorf("the retry ended with %v", err)
		}
		l.want(1, "after the retry")
	})
}

// With a snapshot from before a renewal a transaction completes the claim or fails, and never takes it for lost.
func TestSnapshots(t *testing.T) {
	each(t, func(t *testing.T, d database, db *sql.DB, store *sqlstore.Store) {
		if d.dialect == sqlstore.SQLite {
			t.Skip("its transactions that write have no others beside them")
		}
		l := newLedger(t, d, db)
		ctx := limited(t)
		for _, level := range []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable} {
			key := level.String()
			claim := begin(t, store, key, time.Minute, idempotency.Fresh)
			tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: level})
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM "+l.name).Scan(new(int)); err != nil { // from here on its view stands
				t.Fatal(err)
			}
			if err := store.Extend(ctx, claim, time.Minute); err != nil {
				t.Fatal(err)
			}
			err = store.CompleteTx(ctx, tx, claim, time.Hour)
			t.Logf("%s: %v", level, err)
			if errors.Is(err, idempotency.ErrLost) || level == sql.LevelReadCommitted && err != nil || level != sql.LevelReadCommitted && err == nil && d.dialect == sqlstore.PostgreSQL {
				t.Errorf("%s: the error is %v", level, err)
			}
			want := idempotency.InProgress
			if err == nil {
				err, want = tx.Commit(), idempotency.Done
			} else {
				err = tx.Rollback()
			}
			if err != nil {
				t.Errorf("%s: end the transaction: %v", level, err)
			}
			begin(t, store, key, time.Minute, want)
		}
	})
}
