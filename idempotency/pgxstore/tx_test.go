package pgxstore

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/idempotency"
	"github.com/batch-go/batch/internal/brokers"
)

// deliver hands a job to a handler behind a middleware.
func deliver(t *testing.T, store idempotency.Store, id string, h func(ctx context.Context) error) error {
	m := idempotency.Middleware(store)
	return m(func(ctx context.Context, _ *batch.JobInfo) error { return h(ctx) })(t.Context(), &batch.JobInfo{ID: id})
}

// A transaction with the mark is committed once, and by nobody who has lost the claim.
func TestInTx(t *testing.T) {
	pool := openPool(t, address(t, brokers.PostgreSQL17))
	table := tableOf()
	store := newStore(t, pool, table)
	if _, err := pool.Exec(t.Context(), "CREATE TABLE effects_"+table+" (n int)"); err != nil {
		t.Fatal(err)
	}
	pay := func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), "INSERT INTO effects_"+table+" VALUES (1)")
		return err
	}
	want := func(n int, why string) {
		t.Helper()
		var got int
		if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM effects_"+table).Scan(&got); err != nil || got != n {
			t.Errorf("%s: %d effects, want %d; error %v", why, got, n, err)
		}
	}
	failure := errors.New("no")
	err := deliver(t, store, "a", func(ctx context.Context) error {
		return store.InTx(ctx, func(tx pgx.Tx) error { return errors.Join(pay(tx), failure) })
	})
	if !errors.Is(err, failure) {
		t.Errorf("a handler that failed ended with %v", err)
	}
	want(0, "after a failure")
	err = deliver(t, store, "a", func(ctx context.Context) error {
		claim, _ := idempotency.ClaimOf(ctx)
		return store.InTx(ctx, func(tx pgx.Tx) error { return errors.Join(pay(tx), store.Abandon(ctx, claim)) })
	})
	if !errors.Is(err, idempotency.ErrLost) {
		t.Errorf("a handler that lost its claim ended with %v", err)
	}
	want(0, "after a loss")
	err = deliver(t, store, "a", func(ctx context.Context) error {
		return store.InTx(ctx, func(tx pgx.Tx) error {
			_, _ = tx.Exec(ctx, "SELECT 1 / 0") // and does not look
			return nil
		})
	})
	if err == nil || errors.Is(err, idempotency.ErrLost) {
		t.Errorf("a handler with a statement that failed ended with %v", err)
	}
	want(0, "after a statement that failed")
	for range 3 {
		if err := deliver(t, store, "a", func(ctx context.Context) error { return store.InTx(ctx, pay) }); err != nil {
			t.Errorf("a handler that succeeds ended with %v", err)
		}
	}
	want(1, "after three deliveries")
	begin(t, store, "a", time.Minute, idempotency.Done)
	if err := store.InTx(t.Context(), func(pgx.Tx) error { t.Error("it ran"); return nil }); err == nil || !strings.Contains(err.Error(), "Middleware") {
		t.Errorf("outside of a handler the error is %v", err)
	}
	used := pool.Stat().AcquiredConns()
	if used != 0 {
		t.Errorf("%d connections are in use after all transactions", used)
	}
}

// A transaction that a serialization failure ends does not complete the claim.
func TestSerializationFailure(t *testing.T) {
	pool := openPool(t, address(t, brokers.PostgreSQL17))
	store := newStore(t, pool, tableOf())
	claim := begin(t, store, "a", time.Minute, idempotency.Fresh)
	tx, err := pool.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context())
	if _, err := tx.Exec(t.Context(), "SELECT 1"); err != nil { // from here on its view stands
		t.Fatal(err)
	}
	if err := store.Extend(t.Context(), claim, time.Minute); err != nil {
		t.Fatal(err)
	}
	err = store.CompleteTx(t.Context(), tx, claim, time.Hour)
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "40001" || errors.Is(err, idempotency.ErrLost) {
		t.Errorf("the error is %v, want the server's", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	begin(t, store, "a", time.Minute, idempotency.InProgress)
}

// renewing is a store that counts renewals.
type renewing struct {
	*Store
	times atomic.Int32
}

func (r *renewing) Extend(ctx context.Context, claim idempotency.Claim, ttl time.Duration) error {
	r.times.Add(1)
	return r.Store.Extend(ctx, claim, ttl)
}

// No renewal falls into a transaction that takes less than a third of the TTL: under snapshot isolation it would fail.
func TestNoRenewalInTransaction(t *testing.T) {
	where, table := address(t, brokers.PostgreSQL17), tableOf()
	synctest.Test(t, func(t *testing.T) {
		r := &renewing{Store: newStore(t, openPool(t, where), table)}
		m := idempotency.Middleware(r, idempotency.TTL(30*time.Second))
		err := m(func(ctx context.Context, _ *batch.JobInfo) error {
			time.Sleep(9 * time.Second)
			return r.InTx(ctx, func(pgx.Tx) error {
				time.Sleep(9 * time.Second)
				if n := r.times.Load(); n != 0 {
					t.Errorf("the claim was renewed %d times in a transaction", n)
				}
				return nil
			})
		})(t.Context(), &batch.JobInfo{ID: "a"})
		if err != nil {
			t.Errorf("the handler ended with %v", err)
		}
	})
}
