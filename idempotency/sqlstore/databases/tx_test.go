package databases

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/idempotency"
	"github.com/batch-go/batch/idempotency/sqlstore"
)

// ledger is a table with the effects of a test.
type ledger struct {
	t      *testing.T
	db     *sql.DB
	name   string
	insert string
}

// newLedger makes the table.
func newLedger(t *testing.T, d database, db *sql.DB) *ledger {
	t.Helper()
	l := &ledger{t: t, db: db, name: fmt.Sprintf("ledger_%d", time.Now().UnixNano())}
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE "+l.name+" (n INTEGER NOT NULL)"); err != nil {
		t.Fatal(err)
	}
	l.insert = "INSERT INTO " + l.name + " VALUES (1)"
	return l
}

// want fails the test unless the table has so many rows.
func (l *ledger) want(n int, why string) {
	l.t.Helper()
	var got int
	if err := l.db.QueryRowContext(l.t.Context(), "SELECT count(*) FROM "+l.name).Scan(&got); err != nil || got != n {
		l.t.Errorf("%s: %d effects, want %d; error %v", why, got, n, err)
	}
}

// pay is an effect in a transaction.
func (l *ledger) pay(tx *sql.Tx) error {
	_, err := tx.ExecContext(l.t.Context(), l.insert)
	return err
}

// deliver hands a job to a handler behind a middleware.
func deliver(t *testing.T, store idempotency.Store, h func(ctx context.Context) error, options ...idempotency.Option) error {
	m := idempotency.Middleware(store, options...)
	return m(func(ctx context.Context, _ *batch.JobInfo) error { return h(ctx) })(t.Context(), &batch.JobInfo{ID: "a"})
}

// A transaction with the mark is committed once, and by nobody who has lost the claim.
func TestInTx(t *testing.T) {
	each(t, func(t *testing.T, d database, db *sql.DB, store *sqlstore.Store) {
		l := newLedger(t, d, db)
		failure := errors.New("no")
		fails := func(ctx context.Context) error {
			return store.InTx(ctx, func(tx *sql.Tx) error { return errors.Join(l.pay(tx), failure) })
		}
		if err := deliver(t, store, fails); !errors.Is(err, failure) {
			t.Errorf("a handler that failed ended with %v", err)
		}
		l.want(0, "after a failure")
		func() {
			defer func() { _ = recover() }()
			_ = deliver(t, store, func(ctx context.Context) error {
				return store.InTx(ctx, func(tx *sql.Tx) error { return errors.Join(l.pay(tx), panicking()) })
			})
		}()
		l.want(0, "after a panic")
		succeeds := func(ctx context.Context) error { return store.InTx(ctx, l.pay) }
		for range 3 {
			if err := deliver(t, store, succeeds); err != nil {
				t.Errorf("a handler that succeeds ended with %v", err)
			}
		}
		l.want(1, "after three deliveries")
		begin(t, store, "a", time.Minute, idempotency.Done)
		if err := store.InTx(t.Context(), func(*sql.Tx) error { t.Error("it ran"); return nil }); err == nil || !strings.Contains(err.Error(), "Middleware") {
			t.Errorf("outside of a handler the error is %v", err)
		}
	})
}

// panicking panics.
func panicking() error { panic("on purpose") }

// A handler that has lost its claim commits nothing, whether the claim was given up, expired or taken by another.
func TestCompleteTxOfLostClaim(t *testing.T) {
	each(t, func(t *testing.T, d database, db *sql.DB, store *sqlstore.Store) {
		l := newLedger(t, d, db)
		ctx := limited(t)
		for name, lose := range map[string]func(claim idempotency.Claim){
			"given up": func(claim idempotency.Claim) {
				if err := store.Abandon(ctx, claim); err != nil {
					t.Fatal(err)
				}
			},
			"taken": func(claim idempotency.Claim) {
				if err := store.Abandon(ctx, claim); err != nil {
					t.Fatal(err)
				}
				begin(t, store, claim.Key, time.Minute, idempotency.Fresh)
			},
			"done by another": func(claim idempotency.Claim) {
				if err := store.Abandon(ctx, claim); err != nil {
					t.Fatal(err)
				}
				if err := store.Complete(ctx, begin(t, store, claim.Key, time.Minute, idempotency.Fresh), time.Minute); err != nil {
					t.Fatal(err)
				}
			},
		} {
			claim := begin(t, store, name, time.Minute, idempotency.Fresh)
			lose(claim)
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.pay(tx); err != nil {
				t.Fatal(err)
			}
			if err := store.CompleteTx(ctx, tx, claim, time.Hour); !errors.Is(err, idempotency.ErrLost) {
				t.Errorf("%s: the error is %v, want ErrLost", name, err)
			}
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
		}
		l.want(0, "after transactions that were rolled back")
	})
}

// While a transaction that has completed a claim is open, nobody gets the key, also when the claim would have expired,
// and nobody waits for it. With its rollback the claim goes on or is over; with its commit the key is done.
func TestOpenTransaction(t *testing.T) {
	each(t, func(t *testing.T, d database, db *sql.DB, store *sqlstore.Store) {
		if d.dialect == sqlstore.SQLite {
			t.Skip("a transaction that writes keeps all others from writing")
		}
		const ttl = 300 * time.Millisecond
		ctx := limited(t)
		for _, commits := range []bool{true, false} {
			key := fmt.Sprint("commits ", commits)
			claim := begin(t, store, key, ttl, idempotency.Fresh)
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := store.CompleteTx(ctx, tx, claim, time.Hour); err != nil {
				t.Fatal(err)
			}
			after := time.NewTimer(2 * ttl)
			start := time.Now()
			for expired := false; !expired; {
				select {
				case <-after.C:
					expired = true
				default:
				}
				begin(t, store, key, time.Minute, idempotency.InProgress)
			}
			if took := time.Since(start); took > 10*ttl {
				t.Errorf("calls of Begin beside a transaction took %s", took)
			}
			if !commits {
				if err := tx.Rollback(); err != nil {
					t.Fatal(err)
				}
				begin(t, store, key, time.Minute, idempotency.Fresh)
				continue
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			begin(t, store, key, time.Minute, idempotency.Done)
			if err := store.Complete(ctx, claim, time.Hour); err != nil {
				t.Errorf("the middleware completes a claim that a transaction has completed: %v", err)
			}
		}
	})
}

// Two handlers with one claim after the other, of which the first does not notice: one effect.
func TestTwoHandlers(t *testing.T) {
	each(t, func(t *testing.T, d database, db *sql.DB, store *sqlstore.Store) {
		l := newLedger(t, d, db)
		first := begin(t, store, "a", 50*time.Millisecond, idempotency.Fresh)
		over := time.NewTimer(100 * time.Millisecond)
		<-over.C
		if err := deliver(t, store, func(ctx context.Context) error { return store.InTx(ctx, l.pay) }); err != nil {
			t.Fatal(err)
		}
		tx, err := db.BeginTx(limited(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if err := l.pay(tx); err != nil {
			t.Fatal(err)
		}
		if err := store.CompleteTx(t.Context(), tx, first, time.Hour); !errors.Is(err, idempotency.ErrLost) {
			t.Errorf("the error is %v, want ErrLost", err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		l.want(1, "of two handlers")
	})
}
