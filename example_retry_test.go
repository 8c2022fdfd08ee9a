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

// Fetch is the job of this example.
type Fetch struct{ URL string }

// Kind names the job on the wire.
func (Fetch) Kind() string { return "example.fetch" }

// A kind may have its own retry policy and number of attempts. The policy says
// how long to wait after each failure.
func ExampleRetryPolicy() {
	ctx := context.Background()
	d := memory.New()
	fetches := batch.NewQueue(d, "fetches")
	if _, err := fetches.Enqueue(ctx, Fetch{"https://example.com"}); err != nil {
		log.Fatal(err)
	}

	linear := batch.RetryFunc(func(failures int, err error) time.Duration {
		return time.Duration(failures) * time.Millisecond
	})
	w := batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "fetches"}}})
	ran := make(chan struct{})
	batch.Handle(w, func(ctx context.Context, job *batch.Job[Fetch]) error {
		fmt.Printf("attempt %d of %d, last error %q\n", job.Attempt, job.MaxAttempts, job.LastError)
		if job.Attempt < 3 {
			return errors.New("connection refused")
		}
		close(ran)
		return nil
	}, batch.HandleRetry(linear), batch.HandleMaxAttempts(5))
	if err := w.Start(ctx); err != nil {
		log.Fatal(err)
	}
	<-ran
	if err := w.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// attempt 1 of 5, last error ""
	// attempt 2 of 5, last error "connection refused"
	// attempt 3 of 5, last error "connection refused"
}
