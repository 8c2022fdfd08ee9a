package batch_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// Invoice is the job of this example.
type Invoice struct{ Number string }

// Kind names the job on the wire.
func (Invoice) Kind() string { return "example.invoice" }

// An error that no retry can fix makes the job a dead letter at once.
func ExamplePermanent() {
	ctx := context.Background()
	d := memory.New()
	invoices := batch.NewQueue(d, "invoices")
	if _, err := invoices.Enqueue(ctx, Invoice{"?"}); err != nil {
		log.Fatal(err)
	}

	w := batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "invoices"}}})
	ran := make(chan struct{})
	batch.Handle(w, func(ctx context.Context, job *batch.Job[Invoice]) error {
		close(ran)
		return batch.Permanent(errors.New("no such invoice"))
	})
	if err := w.Start(ctx); err != nil {
		log.Fatal(err)
	}
	<-ran
	if err := w.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	page, _, err := invoices.DeadLetters().List(ctx, "", 10)
	for _, l := range page {
		fmt.Printf("%s after %d failure: %s\n", l.Reason, l.Failures, l.LastError)
	}
	fmt.Println(err)
	// Output:
	// permanent after 1 failure: no such invoice
	// <nil>
}
