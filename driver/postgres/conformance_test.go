package postgres_test

import (
	"context"
	"database/sql"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/batch-go/batch/conformance"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/postgres"
	"github.com/batch-go/batch/internal/brokers"
)

// TestConformance runs the suite on every version of PostgreSQL, each in a container of its own, which
// the suite crashes and freezes in the end, one after the other, as each keeps the machine busy: on the oldest with transactions of database/sql, on the
// others with those of pgx.
func TestConformance(t *testing.T) {
	for _, version := range brokers.PostgreSQLVersions() {
		t.Run(string(version), func(t *testing.T) {
			server := brokers.OwnOrPostgreSQL(t, version)
			h := harness(t, server.URL(), server.String())
			if version == brokers.PostgreSQL15 {
				h.LikeAnother()
				onSQL(t, &h, server.URL())
			}
			if server.Ours() {
				h.Restart = server.Crash
				h.Freeze = server.Freezer(t)
				h.Cut = func(ctx context.Context) error {
					conn, err := pgx.Connect(ctx, server.URL())
					if err != nil {
						return err
					}
					defer conn.Close(ctx)
					_, err = conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'`)
					return err
				}
			}
			conformance.Run(t, h)
		})
	}
}

// with adds parameters to a URL.
func with(address, parameters string) string {
	u, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	if u.RawQuery != "" {
		parameters = u.RawQuery + "&" + parameters
	}
	u.RawQuery = parameters
	return u.String()
}

// harness is for a server at an address, and transactions of pgx.
func harness(t *testing.T, address, name string) conformance.Harness {
	t.Helper()
	own := with(address, "dedup_window=6s&pool_size=8") // a window that a case can wait for
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	pool := applicationPool(t, address)
	return conformance.Harness{
		Parallel: 8,
		Open:     func(ctx context.Context) (driver.Driver, error) { return postgres.Open(ctx, own) },
		URL:      own,
		Broker:   name,
		Addr:     u.Host,
		OpenAt: func(ctx context.Context, addr string) (driver.Driver, error) {
			return postgres.Open(ctx, at(own, addr))
		},
		Foreign: func(ctx context.Context, queue string, body []byte) error { return foreign(ctx, address, queue, body) },
		Transactions: conformance.TransactionsOf(func(ctx context.Context) (pgx.Tx, conformance.TxEnd, error) {
			tx, err := pool.Begin(ctx)
			if err != nil {
				return nil, conformance.TxEnd{}, err
			}
			return tx, conformance.TxEnd{Commit: tx.Commit, Rollback: tx.Rollback}, nil
		}),
		OtherTransactions: conformance.TransactionsOf(func(ctx context.Context) (pgx.Tx, conformance.TxEnd, error) {
			tx, err := otherPool(t, address).Begin(ctx)
			if err != nil {
				return nil, conformance.TxEnd{}, err
			}
			return tx, conformance.TxEnd{Commit: tx.Commit, Rollback: tx.Rollback}, nil
		}),
		OpenOther: func(ctx context.Context) (driver.Driver, error) { return postgres.Open(ctx, with(own, otherSchema)) },
	}
}

// otherSchema is the parameter of a URL for a schema beside that of the harness.
const otherSchema = "schema=batch_other"

// at is a URL with another address.
func at(address, addr string) string {
	u, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	u.Host = addr
	return u.String()
}

// applicationPool has the connections of an application.
func applicationPool(t *testing.T, address string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), with(address, "pool_max_conns=60"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// otherPool has the connections of an application whose database has no queues.
func otherPool(t *testing.T, address string) *pgxpool.Pool {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/template1"
	return applicationPool(t, u.String())
}

// onSQL makes the harness one for transactions of database/sql.
func onSQL(t *testing.T, h *conformance.Harness, address string) {
	t.Helper()
	own := h.URL
	db, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(60)
	t.Cleanup(func() { _ = db.Close() })
	h.Open = func(ctx context.Context) (driver.Driver, error) { return postgres.OpenSQL(ctx, own) }
	h.OpenOther = func(ctx context.Context) (driver.Driver, error) { return postgres.OpenSQL(ctx, with(own, otherSchema)) }
	h.URL = "" // it opens the other type
	h.OtherTransactions = nil
	h.Transactions = conformance.TransactionsOf(func(ctx context.Context) (*sql.Tx, conformance.TxEnd, error) {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return nil, conformance.TxEnd{}, err
		}
		return tx, conformance.TxEnd{
			Commit:   func(context.Context) error { return tx.Commit() },
			Rollback: func(context.Context) error { return tx.Rollback() },
		}, nil
	})
}

// foreign puts a row into the queue that is no job.
func foreign(ctx context.Context, address, queue string, body []byte) error {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, `WITH j AS (
			INSERT INTO batch.jobs (seq, queue, state, level, pos, since, id, kind, content_type, body, enqueued_at)
			SELECT n, q.id, 'w', 0, n, now(), '', 'k', 't', $2, 0 FROM batch.queues q, nextval('batch.numbers') n WHERE q.name = $1 RETURNING queue
		) INSERT INTO batch.tallies (queue, waiting) SELECT queue, 1 FROM j`, queue, body)
	return err
}
