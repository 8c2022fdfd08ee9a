package batch_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// Push is the job of this example.
type Push struct{ Device string }

// Kind names the job on the wire.
func (Push) Kind() string { return "example.push" }

// A handler that knows when a retry makes sense says so: a server's Retry-After,
// for one. It is still a failure, and spends an attempt.
func ExampleRetryAfter() {
	ctx := context.Background()
	d := memory.New()
	pushes := batch.NewQueue(d, "pushes")
	if _, err := pushes.Enqueue(ctx, Push{"phone"}); err != nil {
		log.Fatal(err)
	}

	w := batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "pushes"}}})
	ran := make(chan struct{})
	batch.Handle(w, func(ctx context.Context, job *batch.Job[Push]) error {
		fmt.Printf("attempt %d, last error %q\n", job.Attempt, job.LastError)
		if job.Attempt == 1 {
			return batch.RetryAfter(5*time.Millisecond, errors.New("too many requests"))
		}
		close(ran)
		return nil
	}, batch.HandleRetry(batch.ConstantBackoff(time.Hour))) // which RetryAfter overrides
	if err := w.Start(ctx); err != nil {
		log.Fatal(err)
	}
	<-ran
	if err := w.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// attempt 1, last error ""
	// attempt 2, last error "too many requests"
}
