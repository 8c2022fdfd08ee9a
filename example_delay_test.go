package batch_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// Reminder is the job of this example.
type Reminder struct{ Text string }

// Kind names the job on the wire.
func (Reminder) Kind() string { return "example.reminder" }

// A delayed job is never handed out early. Delay counts from when the broker
// stores the job; At takes a time.
func ExampleDelay() {
	ctx := context.Background()
	d := memory.New()
	reminders := batch.NewQueue(d, "reminders")
	begun := time.Now()
	if _, err := reminders.Enqueue(ctx, Reminder{"in 50 ms"}, batch.Delay(reminders, 50*time.Millisecond)); err != nil {
		log.Fatal(err)
	}
	if _, err := reminders.Enqueue(ctx, Reminder{"next week"}, batch.At(reminders, begun.AddDate(0, 0, 7))); err != nil {
		log.Fatal(err)
	}

	w := batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "reminders"}}})
	ran := make(chan struct{})
	batch.Handle(w, func(ctx context.Context, job *batch.Job[Reminder]) error {
		fmt.Println(job.Args.Text, "- early:", time.Since(begun) < 50*time.Millisecond)
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
	depth, err := reminders.Depth(ctx)
	fmt.Println("scheduled:", depth.Scheduled, err)
	// Output:
	// in 50 ms - early: false
	// scheduled: 1 <nil>
}
