package outbox_test

import (
	"context"
	"database/sql"
	"log"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/outbox"
)

// ConfirmOrder is a job.
type ConfirmOrder struct{ ID int64 }

// Kind is its kind.
func (ConfirmOrder) Kind() string { return "order.confirm" }

// An order and its job are committed together.
func Example() {
	place := func(ctx context.Context, db *sql.DB, orders *batch.Queue[*memory.Driver], relay *outbox.Relay, id int64) error {
		box, err := outbox.New(db, outbox.MySQL) // once, when the program starts
		if err != nil {
			return err
		}
		if err := box.Migrate(ctx); err != nil {
			return err
		}

		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if _, err := tx.ExecContext(ctx, "INSERT INTO orders (id) VALUES (?)", id); err != nil {
			return err
		}
		if _, err := outbox.Enqueue(ctx, tx, box, orders, ConfirmOrder{ID: id}); err != nil {
			return err
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		relay.Wake() // if the relay runs in this process
		return nil
	}
	_ = place
}

// A relay runs in one of the processes that have it, until its context ends.
func ExampleRelay() {
	run := func(ctx context.Context, box *outbox.Box, broker batch.Importer) error {
		relay, err := outbox.NewRelay(box, broker, outbox.RelayConfig{})
		if err != nil {
			return err
		}
		return relay.Run(ctx)
	}
	_ = run
}

// A program that writes jobs while the broker is away has no driver of it: it prepares them on the memory driver, restricted to
// what the broker has.
func ExampleEnqueue() {
	type rabbitMQ interface { // what RabbitMQ has
		batch.Driver
		batch.Delayer
	}
	orders := batch.NewQueue[rabbitMQ](memory.New(), "orders")

	place := func(ctx context.Context, tx *sql.Tx, box *outbox.Box, id int64) error {
		_, err := outbox.Enqueue(ctx, tx, box, orders, ConfirmOrder{ID: id})
		return err
	}
	_ = place
}

// Jobs that the broker could not keep are listed, and tried again when it can.
func ExampleBox_Parked() {
	retry := func(ctx context.Context, box *outbox.Box) error {
		parked, err := box.Parked(ctx, 0, 100)
		if err != nil {
			return err
		}
		for _, p := range parked {
			log.Printf("row %d for queue %s: %s", p.Row, p.Queue, p.Reason)
			if _, err := box.Retry(ctx, p.Row); err != nil {
				return err
			}
		}
		return nil
	}
	_ = retry
}
