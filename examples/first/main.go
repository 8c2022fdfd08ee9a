// Command first is the program of the README: it enqueues a job and works it off,
// until it is interrupted.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/batch-go/batch"
	_ "github.com/batch-go/batch/driver/memory" // the driver of your broker
)

// Welcome is a job: what is to be done, as a value that can be stored.
type Welcome struct {
	UserID int `json:"user_id"`
}

// Kind names the job on the wire.
func (Welcome) Kind() string { return "email.welcome" }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	d, err := batch.Open[batch.Prioritizer](ctx, "memory://") // redis://localhost:6379
	if err != nil {
		log.Fatal(err)
	}
	emails := batch.NewQueue(d, "emails")
	if _, err := emails.Enqueue(ctx, Welcome{UserID: 7}, batch.Priority(emails, batch.High)); err != nil {
		log.Fatal(err)
	}
	w := batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "emails"}}})
	batch.Handle(w, func(ctx context.Context, job *batch.Job[Welcome]) error {
		fmt.Printf("welcome, user %d (attempt %d of %d)\n", job.Args.UserID, job.Attempt, job.MaxAttempts)
		return nil
	})
	if err := w.Run(ctx); err != nil { // until Ctrl-C, and what has started is done
		log.Fatal(err)
	}
}
