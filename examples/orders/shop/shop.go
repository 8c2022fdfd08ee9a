// Package shop is what the API and the worker share: the database, the job and its queue.
package shop

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/postgres"
)

// Charges is the queue of ChargeOrder, in the database and on a broker alike.
const Charges = "charges"

// ChargeOrder is the job that takes the money for an order.
type ChargeOrder struct {
	Order int64 `json:"order"`
}

// Kind names the job on the wire.
func (ChargeOrder) Kind() string { return "order.charge" }

// Name is what an order is called outside of the database: as the ID of its job, and as the idempotency key of its charge.
func Name(order int64) string { return fmt.Sprintf("order-%d", order) }

// Jobs is what the queue of the shop is relied on for: transactions of the database, and delays, which each broker has that a
// mover may fill. What one of them cannot keep, a priority or a group, does not compile.
type Jobs interface {
	batch.TxEnqueuer[pgx.Tx]
	batch.Delayer
}

//go:embed schema.sql
var schema string

// DB is the shop's database, with the queue in it.
type DB struct {
	// Pool is for the shop's own statements and transactions.
	Pool *pgxpool.Pool
	// Charges is the queue, whose jobs are stored in transactions of Pool.
	Charges *batch.Queue[Jobs]
}

// Open connects to the database, and makes the tables and the queue if they are not there. The URL may have the parameters of
// libpq only, as Pool and the driver both read it.
func Open(ctx context.Context, url string) (*DB, error) {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return nil, err
	}
	if _, err := pool.Exec(ctx, schema); err != nil {
		pool.Close()
		return nil, fmt.Errorf("make the shop's tables: %w", err)
	}
	d, err := postgres.Open(ctx, url)
	if err != nil {
		pool.Close()
		return nil, err
	}
	db := &DB{Pool: pool, Charges: batch.NewQueue[Jobs](d, Charges)}
	if err := db.Charges.Declare(ctx); err != nil {
		_ = db.Close(ctx)
		return nil, err
	}
	return db, nil
}

// Close ends the connections.
func (db *DB) Close(ctx context.Context) error {
	db.Pool.Close()
	return db.Charges.Driver().Close(ctx)
}
