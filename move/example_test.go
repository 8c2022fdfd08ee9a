package move_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/move"
)

// welcome is the args of a job.
type welcome struct{ UserID int }

// Kind implements batch.Args.
func (welcome) Kind() string { return "email.welcome" }

// All jobs of a queue go to another broker, and get another name on the way.
func ExampleRun() {
	ctx := context.Background()
	from, to := memory.New(), memory.New()
	defer from.Close(ctx)
	defer to.Close(ctx)
	emails := batch.NewQueue(from, "emails")
	for i := range 3 {
		if _, err := emails.Enqueue(ctx, welcome{UserID: i}); err != nil {
			log.Fatal(err)
		}
	}

	progress, err := move.Run(ctx, from, to, "emails", move.To("mails"), move.Quiet(10*time.Millisecond))
	var refused *move.RefusedError
	if errors.As(err, &refused) {
		log.Fatalf("%s has a %s, which the new broker cannot keep", refused.JobID, refused.Property)
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(progress.Moved(), "moved,", progress.Doubled, "doubled")
	// Output: 3 moved, 0 doubled
}

// A mover that runs as a service, until it is told to stop.
func ExampleFollow() {
	run := func(ctx context.Context, oldBroker batch.Driver, newBroker batch.Importer) error {
		progress, err := move.Run(ctx, oldBroker, newBroker, "emails",
			move.Follow(),
			move.Drop(move.Priority),
			move.OnProgress(func(p move.Progress) { log.Printf("%d moved, %.0f/s", p.Moved(), p.Rate) }))
		log.Printf("%d were moved, %d may be there twice", progress.Moved(), progress.Doubled)
		return err
	}
	_ = run // with two brokers
}
