package batch_test

import (
	"context"
	"fmt"
	"log"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// Options that many jobs share are given once.
func ExampleQueue_With() {
	ctx := context.Background()
	d := memory.New()
	emails := batch.NewQueue(d, "emails")
	urgent := emails.With(batch.Priority(emails, batch.High), batch.MaxAttempts(emails, 3))

	results, err := batch.EnqueueAll(ctx, urgent, []Welcome{{UserID: 7}, {UserID: 8}})
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range results {
		job, err := batch.FindJob(ctx, emails, r.ID)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(job.Level, job.MaxAttempts)
	}
	// Output:
	// high 3
	// high 3
}
