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

// Booking is the job of this example.
type Booking struct{ Step string }

// Kind names the job on the wire.
func (Booking) Kind() string { return "example.booking" }

// Jobs of a group run one at a time, in the order in which they were enqueued,
// even when one of them fails and has to be tried again.
func ExampleGroup() {
	ctx := context.Background()
	d := memory.New()
	bookings := batch.NewQueue(d, "bookings")
	steps := []string{"reserve", "pay", "confirm"}
	for _, step := range steps {
		if _, err := bookings.Enqueue(ctx, Booking{step}, batch.Group(bookings, "customer-7")); err != nil {
			log.Fatal(err)
		}
	}

	w := batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "bookings", Concurrency: 10}}})
	ran := make(chan string)
	batch.Handle(w, func(ctx context.Context, job *batch.Job[Booking]) error {
		if job.Args.Step == "pay" && job.Attempt == 1 {
			return errors.New("card reader offline")
		}
		ran <- job.Args.Step
		return nil
	}, batch.HandleRetry(batch.ConstantBackoff(time.Millisecond)))
	if err := w.Start(ctx); err != nil {
		log.Fatal(err)
	}
	for range steps {
		fmt.Println(<-ran)
	}
	if err := w.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// reserve
	// pay
	// confirm
}
