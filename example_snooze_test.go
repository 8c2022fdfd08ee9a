package batch_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// Poll is the job of this example.
type Poll struct{ Build int }

// Kind names the job on the wire.
func (Poll) Kind() string { return "example.poll" }

// A job that is snoozed comes back later, without having spent an attempt.
func ExampleSnooze() {
	ctx := context.Background()
	d := memory.New()
	polls := batch.NewQueue(d, "polls")
	if _, err := polls.Enqueue(ctx, Poll{Build: 42}); err != nil {
		log.Fatal(err)
	}

	w := batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "polls"}}})
	ran := make(chan struct{})
	batch.Handle(w, func(ctx context.Context, job *batch.Job[Poll]) error {
		fmt.Printf("delivery %d, attempt %d\n", job.Deliveries, job.Attempt)
		if job.Deliveries < 3 {
			return batch.Snooze(time.Millisecond)
		}
		close(ran)
		return nil
	})
	if err := w.Start(ctx); err != nil {
		log.Fatal(err)
	}
	<-ran
	if err := w.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// delivery 1, attempt 1
	// delivery 2, attempt 1
	// delivery 3, attempt 1
}
