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

// Needs is what the program relies on, on every broker that it is installed on.
type Needs interface {
	batch.Delayer
}

// Invitation is the job of this example.
type Invitation struct {
	User int `json:"user"`
}

// Kind names the job on the wire.
func (Invitation) Kind() string { return "example.invitation" }

// invite enqueues a job, better where the broker can do more.
func invite(ctx context.Context, d Needs, user int) error {
	mails := batch.NewQueue(d, "mails")
	receipt, err := mails.Enqueue(ctx, Invitation{User: user},
		batch.Delay(mails, time.Minute),
		batch.PriorityIfSupported(mails, batch.Low),
		batch.UniqueIfSupported(mails, fmt.Sprintf("invitation-%d", user)))
	if err != nil {
		return err
	}
	if receipt.NotApplied != nil {
		fmt.Println("not applied:", receipt.NotApplied)
	}
	return nil
}

// hold stops the queue where the broker can do that for all workers.
func hold(ctx context.Context, d Needs) error {
	mails := batch.NewQueue(d, "mails")
	able, ok := batch.As[batch.Pauser](mails)
	if !ok {
		fmt.Println("this broker cannot pause a queue: stop the workers")
		return nil
	}
	return batch.Pause(ctx, able)
}

// modest is a driver that can hold jobs back, and nothing else that only some can.
type modest struct{ batch.Driver }

// MaxDelay is a year.
func (modest) MaxDelay() time.Duration { return 365 * 24 * time.Hour }

// One program runs on any broker that has what it needs, and uses what else there is.
func Example_portable() {
	ctx := context.Background()
	var brokers []Needs
	for _, url := range []string{"memory://", "plain://"} {
		d, err := batch.Open[Needs](ctx, url)
		var lacks *batch.CapabilityError
		if errors.As(err, &lacks) {
			fmt.Println(err)
			continue
		}
		if err != nil {
			log.Fatal(err)
		}
		brokers = append(brokers, d)
	}
	brokers = append(brokers, modest{memory.New()})

	for i, d := range brokers {
		fmt.Printf("broker %d:\n", i+1)
		if err := invite(ctx, d, 7); err != nil {
			log.Fatal(err)
		}
		if err := hold(ctx, d); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// batch: driver plain (Plain 1.0) lacks Delayer (supported by: memory)
	// broker 1:
	// broker 2:
	// not applied: [Priority Unique]
	// this broker cannot pause a queue: stop the workers
}
