package idempotency_test

import (
	"context"
	"fmt"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/idempotency"
)

// Charge is a job whose effect must happen once.
type Charge struct {
	Order string
	Cents int
}

// Kind names it.
func (Charge) Kind() string { return "charge" }

// A producer that is not sure whether its job was stored enqueues it again. The
// card is charged once, because both jobs have the key of one order.
func ExampleMiddleware() {
	ctx := context.Background()
	d := memory.New()
	defer d.Close(ctx)
	payments := batch.NewQueue(d, "payments")

	byOrder := idempotency.ByKey(func(job *batch.JobInfo) (string, error) {
		return job.DecodedArgs().(Charge).Order, nil
	})
	settled := make(chan struct{}, 2)
	w := batch.NewWorker(d, batch.WorkerConfig{
		Queues:     []batch.WorkerQueue{{Name: "payments", Concurrency: 1}},
		Middleware: []batch.Middleware{idempotency.Middleware(idempotency.NewMemory(0), byOrder)},
		Hooks:      []batch.Hook{ended(settled)},
	})
	batch.Handle(w, func(ctx context.Context, job *batch.Job[Charge]) error {
		fmt.Printf("charging %d cents for %s\n", job.Args.Cents, job.Args.Order)
		return nil
	})

	charge := Charge{Order: "order-7", Cents: 1250}
	for range 2 {
		if _, err := payments.Enqueue(ctx, charge); err != nil {
			fmt.Println(err)
		}
	}
	if err := w.Start(ctx); err != nil {
		fmt.Println(err)
	}
	<-settled
	<-settled
	if err := w.Stop(ctx); err != nil {
		fmt.Println(err)
	}
	// Output:
	// charging 1250 cents for order-7
}

// ended is told when a job has ended.
type ended chan struct{}

// OnJobEnd tells it.
func (e ended) OnJobEnd(context.Context, batch.JobEnd) { e <- struct{}{} }
