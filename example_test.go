package batch_test

import (
	"context"
	"fmt"
	"log"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// Welcome is a job: what is to be done, as a value that can be stored.
type Welcome struct {
	UserID int `json:"user_id"`
}

// Kind names the job on the wire.
func (Welcome) Kind() string { return "email.welcome" }

func Example() {
	ctx, stop := context.WithCancel(context.Background())
	d := memory.New()
	emails := batch.NewQueue(d, "emails")

	w := batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "emails"}}})
	batch.Handle(w, func(ctx context.Context, job *batch.Job[Welcome]) error {
		fmt.Printf("welcome, user %d (attempt %d of %d)\n", job.Args.UserID, job.Attempt, job.MaxAttempts)
		stop() // a service would wait for a signal
		return nil
	})

	if _, err := emails.Enqueue(ctx, Welcome{UserID: 7}, batch.Priority(emails, batch.High)); err != nil {
		log.Fatal(err)
	}
	if err := w.Run(ctx); err != nil { // until ctx ends and what has started is done
		log.Fatal(err)
	}
	// Output: welcome, user 7 (attempt 1 of 25)
}
