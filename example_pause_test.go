package batch_test

import (
	"context"
	"fmt"
	"log"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// Index is the job of this example.
type Index struct{ Document string }

// Kind names the job on the wire.
func (Index) Kind() string { return "example.index" }

// A paused queue accepts jobs, but hands none out to any worker.
func ExamplePause() {
	ctx := context.Background()
	d := memory.New()
	documents := batch.NewQueue(d, "documents")
	if err := documents.Declare(ctx); err != nil {
		log.Fatal(err)
	}
	if err := batch.Pause(ctx, documents); err != nil {
		log.Fatal(err)
	}
	w := batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "documents"}}})
	ran := make(chan struct{})
	batch.Handle(w, func(ctx context.Context, job *batch.Job[Index]) error {
		fmt.Println("indexed", job.Args.Document)
		close(ran)
		return nil
	})
	if err := w.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if _, err := documents.Enqueue(ctx, Index{"report.pdf"}); err != nil {
		log.Fatal(err)
	}
	depth, err := documents.Depth(ctx)
	fmt.Printf("waiting %d, running %d, %v\n", depth.Waiting, depth.Running, err)

	if err := batch.Resume(ctx, documents); err != nil {
		log.Fatal(err)
	}
	<-ran
	if err := w.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// waiting 1, running 0, <nil>
	// indexed report.pdf
}
