package pgxstore_test

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/idempotency"
	"github.com/batch-go/batch/idempotency/pgxstore"
)

// Pay is a job whose effect is a row of a database.
type Pay struct {
	Account string
	Cents   int
}

// Kind names it.
func (Pay) Kind() string { return "pay" }

// A worker whose jobs have their effect exactly once.
func Example() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://localhost/shop")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	store, err := pgxstore.New(pool)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := store.Migrate(ctx); err != nil {
		fmt.Println(err)
		return
	}
	w := batch.NewWorker(memory.New(), batch.WorkerConfig{
		Queues:     []batch.WorkerQueue{{Name: "payments"}},
		Middleware: []batch.Middleware{idempotency.Middleware(store)},
	})
	batch.Handle(w, func(ctx context.Context, job *batch.Job[Pay]) error {
		return store.InTx(ctx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE accounts SET cents = cents - $1 WHERE id = $2`, job.Args.Cents, job.Args.Account)
			return err
		})
	})
	fmt.Println(w.Run(ctx))
}
