package batch_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync/atomic"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// Charge is the job of this example.
type Charge struct{ Customer int }

// Kind names the job on the wire.
func (Charge) Kind() string { return "example.charge" }

// Dead letters are kept with their history until you redrive or delete them. A job
// that is redriven has all its attempts again.
func ExampleDeadLetters() {
	ctx := context.Background()
	d := memory.New()
	charges := batch.NewQueue(d, "charges")
	if _, err := charges.Enqueue(ctx, Charge{Customer: 7}, batch.ID(charges, "charge-7"), batch.MaxAttempts(charges, 1)); err != nil {
		log.Fatal(err)
	}

	ended := make(onEnd, 1)
	w := batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "charges"}}, Hooks: []batch.Hook{ended}})
	var repaired atomic.Bool
	batch.Handle(w, func(ctx context.Context, job *batch.Job[Charge]) error {
		if !repaired.Load() {
			return errors.New("bank is down")
		}
		fmt.Println("charged customer", job.Args.Customer, "in attempt", job.Attempt)
		return nil
	})
	if err := w.Start(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("the job is", (<-ended).Verdict.Outcome)
	if err := w.Stop(ctx); err != nil { // what was decided is at the broker now
		log.Fatal(err)
	}

	page, _, err := charges.DeadLetters().List(ctx, "", 10)
	if err != nil {
		log.Fatal(err)
	}
	for _, l := range page {
		fmt.Printf("%s: %s after %d failure: %s\n", l.ID, l.Reason, l.Failures, l.LastError)
	}
	repaired.Store(true)
	n, err := charges.DeadLetters().Redrive(ctx, "charge-7")
	fmt.Println("redriven:", n, err)
	depth, err := charges.Depth(ctx)
	fmt.Printf("waiting %d, dead %d, %v\n", depth.Waiting, depth.Dead, err)
	// Output:
	// the job is dead
	// charge-7: max-attempts after 1 failure: bank is down
	// redriven: 1 <nil>
	// waiting 1, dead 0, <nil>
}
