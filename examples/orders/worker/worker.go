// Package worker is the part of the shop that takes the money.
package worker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/examples/orders/payments"
	"github.com/batch-go/batch/examples/orders/shop"
	"github.com/batch-go/batch/idempotency"
	"github.com/batch-go/batch/idempotency/pgxstore"
)

// Config is what the worker needs.
type Config struct {
	DB *shop.DB
	// Broker is where the jobs come from: that of the database, or another, which Move fills.
	Broker   batch.Driver
	Payments *payments.Client
	// Lease is how long what a dead worker held waits for another. Zero means the defaults.
	Lease time.Duration
	Log   *slog.Logger
}

// New makes the worker, and the table of the keys that are done.
func New(ctx context.Context, c Config) (*batch.Worker, error) {
	store, err := pgxstore.New(c.DB.Pool, pgxstore.Table("shop.idempotency"))
	if err != nil {
		return nil, err
	}
	if err := store.Migrate(ctx); err != nil {
		return nil, err
	}
	var claims []idempotency.Option
	if c.Lease > 0 {
		claims = append(claims, idempotency.TTL(c.Lease))
	}
	once, err := idempotency.TryMiddleware(store, claims...)
	if err != nil {
		return nil, err
	}
	w, err := batch.TryNewWorker(c.Broker, batch.WorkerConfig{
		Queues:      []batch.WorkerQueue{{Name: shop.Charges, Lease: c.Lease}},
		Middleware:  []batch.Middleware{once},
		RetryPolicy: batch.ExponentialBackoff{Max: time.Minute},
		Log:         c.Log,
	})
	if err != nil {
		return nil, err
	}
	batch.Handle(w, (&charger{c.DB.Pool, store, c.Payments}).charge, batch.HandleMaxAttempts(100), batch.HandleTimeout(30*time.Second))
	return w, nil
}

// charger handles shop.ChargeOrder.
type charger struct {
	pool     *pgxpool.Pool
	store    *pgxstore.Store
	payments *payments.Client
}

// charge takes the money for an order. It may be called again after any of its lines.
func (c *charger) charge(ctx context.Context, job *batch.Job[shop.ChargeOrder]) error {
	order := job.Args.Order
	var cents int64
	err := c.pool.QueryRow(ctx, `SELECT cents FROM shop.orders WHERE id = $1`, order).Scan(&cents)
	if errors.Is(err, pgx.ErrNoRows) {
		return batch.Permanent(errors.New("there is no such order")) // never, as the two are committed together
	}
	if err != nil {
		return err
	}
	// No transaction reaches the provider. The key of the order makes all calls for it one charge, and no transaction is
	// open while the provider thinks.
	charge, err := c.payments.Charge(ctx, shop.Name(order), order, cents)
	var refused *payments.Refused
	if errors.As(err, &refused) {
		return batch.Permanent(err)
	}
	if err != nil {
		return err
	}
	// The payment is committed together with the mark that this job is done: who gets the job again skips it.
	return c.store.InTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO shop.payments (order_id, charge, cents) VALUES ($1, $2, $3)`, order, charge.ID, charge.Cents)
		return err
	})
}
