package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/idempotency"
	"github.com/batch-go/batch/idempotency/sqlstore"
)

// Pay is a job whose effect is a row of a database.
type Pay struct {
	Account string
	Cents   int
}

// Kind names it.
func (Pay) Kind() string { return "pay" }

// service has what its handlers need.
type service struct{ store *sqlstore.Store }

// pay takes money from an account.
func (s *service) pay(ctx context.Context, job *batch.Job[Pay]) error {
	// The row and the mark that the job is done are committed together.
	return s.store.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE accounts SET cents = cents - $1 WHERE id = $2`, job.Args.Cents, job.Args.Account)
		return err
	})
}

// A worker whose jobs have their effect exactly once. db is the application's, by the driver for database/sql that it uses.
func Example() {
	work := func(ctx context.Context, db *sql.DB, broker batch.Driver) error {
		store, err := sqlstore.New(db, sqlstore.PostgreSQL)
		if err != nil {
			return err
		}
		if err := store.Migrate(ctx); err != nil {
			return err
		}
		w := batch.NewWorker(broker, batch.WorkerConfig{
			Queues:     []batch.WorkerQueue{{Name: "payments"}},
			Middleware: []batch.Middleware{idempotency.Middleware(store)},
		})
		batch.Handle(w, (&service{store: store}).pay)
		return w.Run(ctx)
	}
	_ = work
}

// The table is made by a role that may, from a migration of the application.
func ExampleSchema() {
	text, err := sqlstore.Schema(sqlstore.PostgreSQL, "shop.paid")
	if err != nil {
		fmt.Println(err)
	}
	fmt.Print(text)
	// Output:
	// CREATE SEQUENCE IF NOT EXISTS "shop"."paid_tokens" CACHE 1 NO CYCLE;
	// CREATE TABLE IF NOT EXISTS "shop"."paid" (
	// 	key     bytea       PRIMARY KEY,
	// 	token   bigint      NOT NULL,
	// 	done    boolean     NOT NULL,
	// 	expires timestamptz NOT NULL
	// );
	// CREATE INDEX IF NOT EXISTS "paid_expires" ON "shop"."paid" (expires);
}
