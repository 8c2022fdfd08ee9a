package batch_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// An outbox stores a job with the application's data, and a relay sends it later.
func ExampleQueue_Prepare() {
	ctx := context.Background()
	d := memory.New()
	emails := batch.NewQueue(d, "emails")

	// In the application, in the transaction that stores the user:
	job, err := emails.Prepare(ctx, Welcome{UserID: 7}, batch.Delay(emails, time.Hour))
	if err != nil {
		log.Fatal(err)
	}
	row, err := json.Marshal(job)
	if err != nil {
		log.Fatal(err)
	}

	// In the relay, when that is committed:
	var stored batch.Prepared
	if err := json.Unmarshal(row, &stored); err != nil {
		log.Fatal(err)
	}
	results, err := emails.EnqueuePrepared(ctx, &stored)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(results[0].ID == job.ID())
	depth, err := emails.Depth(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(depth.Scheduled)
	// Output:
	// true
	// 1
}
