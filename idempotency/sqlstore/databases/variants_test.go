package databases

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/idempotency"
	"github.com/batch-go/batch/idempotency/pgxstore"
	"github.com/batch-go/batch/idempotency/sqlstore"
	"github.com/batch-go/batch/idempotency/storetest"
	"github.com/batch-go/batch/internal/brokers"

	"github.com/jackc/pgx/v5/pgxpool"
)

// The rules hold with what applications set for all their connections: isolation, statements that are not
// prepared, and what a server counts.
func TestStoreWithParameters(t *testing.T) {
	parameters := map[sqlstore.Dialect][]string{
		sqlstore.PostgreSQL: {"default_transaction_isolation=serializable&default_query_exec_mode=exec", "default_transaction_isolation=repeatable%20read&default_query_exec_mode=simple_protocol"},
		sqlstore.MySQL:      {"tx_isolation=%27SERIALIZABLE%27&time_zone=%27%2B07%3A00%27&parseTime=true", "tx_isolation=%27READ-COMMITTED%27&clientFoundRows=true&interpolateParams=true", "tx_isolation=%27READ-UNCOMMITTED%27"},
		sqlstore.SQLite:     {"_txlock=immediate&_pragma=busy_timeout(0)"},
	}
	for _, d := range databases() {
		if !d.newest {
			continue
		}
		for _, p := range parameters[d.dialect] {
			t.Run(d.name+"/"+p, func(t *testing.T) {
				t.Parallel()
				db := d.open(t, p)
				table := tableOf(t)
				newStore(t, db, d.dialect, table)
				storetest.Run(t, func(t *testing.T) idempotency.Store {
					if d.dialect == sqlstore.SQLite { // which has writers take turns, and without a timeout no queue of them
						return newStore(t, d.open(t, p), d.dialect, table)
					}
					return newStore(t, db, d.dialect, table)
				})
			})
		}
	}
}

// A mark that was not committed keeps nobody from the key when it is rolled back, and counts for nobody before, at whatever
// isolation.
func TestUncommittedMark(t *testing.T) {
	for _, d := range databases() {
		if d.dialect != sqlstore.MySQL { // of the others none shows what was not committed
			continue
		}
		for _, level := range []string{"READ-UNCOMMITTED", "READ-COMMITTED", "REPEATABLE-READ", "SERIALIZABLE"} {
			t.Run(d.name+"/"+level, func(t *testing.T) {
				t.Parallel()
				db := d.open(t, "tx_isolation=%27"+level+"%27")
				store := newStore(t, db, d.dialect, tableOf(t))
				for _, commits := range []bool{false, true} {
					key := fmt.Sprint("commits ", commits)
					claim := begin(t, store, key, time.Minute, idempotency.Fresh)
					tx, err := db.BeginTx(limited(t), nil)
					if err != nil {
						t.Fatal(err)
					}
					defer tx.Rollback()
					if err := store.CompleteTx(t.Context(), tx, claim, time.Hour); err != nil {
						t.Fatal(err)
					}
					begin(t, store, key, time.Minute, idempotency.InProgress)
					if commits {
						err = tx.Commit()
					} else {
						err = errors.Join(tx.Rollback(), store.Abandon(t.Context(), claim))
					}
					if err != nil {
						t.Fatal(err)
					}
					if commits {
						begin(t, store, key, time.Minute, idempotency.Done)
					} else {
						begin(t, store, key, time.Minute, idempotency.Fresh)
					}
				}
			})
		}
	}
}

// On a database whose sessions do not commit by themselves no claim would last, and those of others would wait for it: the store
// says so, and what to do, and holds nothing. A transaction of the application can complete a claim there.
func TestWithoutAutocommit(t *testing.T) {
	for _, d := range databases() {
		if d.dialect != sqlstore.MySQL { // no other has such sessions
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			table := tableOf(t)
			db, manual := d.open(t, ""), d.open(t, "autocommit=0")
			store := newStore(t, db, d.dialect, table)
			claim := begin(t, store, "a", time.Minute, idempotency.Fresh)
			other, err := sqlstore.New(manual, d.dialect, table)
			if err != nil {
				t.Fatal(err)
			}
			ctx := limited(t)
			made := func(_ any, err error) error { return err }
			for name, call := range map[string]func() error{
				"migrate": func() error { return other.Migrate(ctx) },
				"begin": func() error {
					_, _, err := other.Begin(ctx, "b", time.Minute)
					return err
				},
				"extend":   func() error { return other.Extend(ctx, claim, time.Minute) },
				"complete": func() error { return other.Complete(ctx, claim, time.Minute) },
				"abandon":  func() error { return other.Abandon(ctx, claim) },
				"sweep":    func() error { return made(other.Sweep(ctx)) },
			} {
				if err := call(); !errors.Is(err, sqlstore.ErrAutocommit) || !strings.Contains(err.Error(), "autocommit=0") {
					t.Errorf("%s: the error is %v", name, err)
				}
			}
			begin(t, store, "b", time.Minute, idempotency.Fresh)
			tx, err := manual.BeginTx(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			if err := other.CompleteTx(ctx, tx, claim, time.Minute); err != nil {
				t.Fatal(err)
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			begin(t, store, "a", time.Minute, idempotency.Done)
		})
	}
}

// Programs with database/sql and with pgx have one table.
func TestSharedTable(t *testing.T) {
	for _, d := range databases() {
		if d.dialect != sqlstore.PostgreSQL {
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			store := newStore(t, d.open(t, ""), d.dialect, sqlstore.Table("shared"))
			version, _ := strings.CutSuffix(d.name, "-pq")
			pool, err := pgxpool.New(t.Context(), brokers.PostgreSQL(t, brokers.Version(version)).URL())
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			other, err := pgxstore.New(pool, pgxstore.Table("shared"))
			if err != nil {
				t.Fatal(err)
			}
			if err := other.Migrate(t.Context()); err != nil {
				t.Fatalf("the table of one is not that of the other: %v", err)
			}
			key := t.Name()
			claim := begin(t, store, key, bound, idempotency.Fresh)
			begin(t, other, key, bound, idempotency.InProgress)
			if err := other.Abandon(t.Context(), claim); err != nil {
				t.Fatal(err)
			}
			second := begin(t, other, key, bound, idempotency.Fresh)
			if second.Token <= claim.Token {
				t.Errorf("the token %d after %d", second.Token, claim.Token)
			}
			if err := store.Complete(t.Context(), second, bound); err != nil {
				t.Fatal(err)
			}
			begin(t, other, key, bound, idempotency.Done)
		})
	}
}
