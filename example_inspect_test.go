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

// Cleanup is the job of this example.
type Cleanup struct{ Folder string }

// Kind names the job on the wire.
func (Cleanup) Kind() string { return "example.cleanup" }

// The jobs of a queue can be listed, found and deleted without consuming them.
func ExampleListJobs() {
	ctx := context.Background()
	d := memory.New()
	cleanups := batch.NewQueue(d, "cleanups")
	if _, err := cleanups.Enqueue(ctx, Cleanup{"now"}, batch.ID(cleanups, "now")); err != nil {
		log.Fatal(err)
	}
	if _, err := cleanups.Enqueue(ctx, Cleanup{"later"}, batch.ID(cleanups, "later"), batch.Delay(cleanups, time.Hour)); err != nil {
		log.Fatal(err)
	}

	for _, state := range []batch.State{batch.StateWaiting, batch.StateScheduled, batch.StateDead} {
		page, next, err := batch.ListJobs(ctx, cleanups, state, "", 100)
		if err != nil {
			log.Fatal(err)
		}
		for _, e := range page {
			fmt.Printf("%s: %s %s\n", e.State, e.ID, e.Body)
		}
		if next != "" {
			fmt.Println("there is another page")
		}
	}
	if err := batch.DeleteJob(ctx, cleanups, "later"); err != nil {
		log.Fatal(err)
	}
	_, err := batch.FindJob(ctx, cleanups, "later")
	fmt.Println("gone:", errors.Is(err, batch.ErrNotFound))
	// Output:
	// waiting: now {"Folder":"now"}
	// scheduled: later {"Folder":"later"}
	// gone: true
}
