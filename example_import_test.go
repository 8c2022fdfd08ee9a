package batch_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// The waiting jobs of one queue move to another, as they are.
func ExampleImport() {
	ctx := context.Background()
	d := memory.New()
	from, to := batch.NewQueue(d, "mails"), batch.NewQueue(d, "mails-v2")
	if _, err := from.Enqueue(ctx, Charge{Customer: 7}, batch.ID(from, "charge-7")); err != nil {
		log.Fatal(err)
	}
	for { // page by page, and each job is deleted when it is stored elsewhere
		jobs, _, err := batch.ListJobs(ctx, from, batch.StateWaiting, "", 100)
		if err != nil {
			log.Fatal(err)
		}
		if len(jobs) == 0 {
			break
		}
		if _, err := batch.Import(ctx, to, jobs); err != nil {
			log.Fatal(err)
		}
		for _, job := range jobs {
			if err := batch.DeleteJob(ctx, from, job.ID); err != nil && !errors.Is(err, batch.ErrNotFound) {
				log.Fatal(err)
			}
		}
	}
	moved, err := batch.FindJob(ctx, to, "charge-7")
	if err != nil {
		log.Fatal(err)
	}
	queues, err := batch.ListQueues(ctx, d)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(moved.State, string(moved.Body), queues)
	// Output: waiting {"Customer":7} [mails mails-v2]
}
