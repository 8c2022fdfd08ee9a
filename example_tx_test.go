package batch_test

import (
	"context"
	"fmt"
	"log"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// Parcel is the job of these examples.
type Parcel struct{ Order int }

// Kind names the job on the wire.
func (Parcel) Kind() string { return "example.parcel" }

// A job is there from the commit on. On PostgreSQL tx is the application's, a pgx.Tx or a *sql.Tx;
// the memory driver has one for tests.
func ExampleEnqueueTx() {
	ctx := context.Background()
	d := memory.New()
	parcels := batch.NewQueue(d, "parcels")

	place := func(commit bool) error {
		tx, err := d.Begin(ctx)
		if err != nil {
			return err
		}
		defer tx.Rollback(ctx) // does nothing after the commit
		if _, err := batch.EnqueueTx(ctx, tx, parcels, Parcel{Order: 7}); err != nil || !commit {
			return err
		}
		return tx.Commit(ctx)
	}
	for _, commit := range []bool{false, true} {
		err := place(commit)
		depth, unknown := parcels.Depth(ctx)
		fmt.Println("waiting:", depth.Waiting, err, unknown)
	}
	// Output:
	// waiting: 0 <nil> <nil>
	// waiting: 1 <nil> <nil>
}

// A handler ends its job in the transaction of its effect.
func ExampleCompleteTx() {
	ctx := context.Background()
	d := memory.New()
	parcels := batch.NewQueue(d, "parcels")
	if _, err := parcels.Enqueue(ctx, Parcel{Order: 7}); err != nil {
		log.Fatal(err)
	}

	w := batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "parcels"}}})
	ran := make(chan struct{})
	batch.Handle(w, func(ctx context.Context, job *batch.Job[Parcel]) error {
		defer close(ran)
		tx, err := d.Begin(ctx)
		if err != nil {
			return err
		}
		defer tx.Rollback(ctx) // does nothing after the commit
		fmt.Println("what the job does, in tx: order", job.Args.Order)
		if err := batch.CompleteTx(ctx, tx, parcels, job); err != nil {
			return err
		}
		return tx.Commit(ctx)
	})
	if err := w.Start(ctx); err != nil {
		log.Fatal(err)
	}
	<-ran
	if err := w.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	depth, err := parcels.Depth(ctx)
	fmt.Println("left:", depth.Waiting+depth.Running+depth.Scheduled+depth.Dead, err)
	// Output:
	// what the job does, in tx: order 7
	// left: 0 <nil>
}
