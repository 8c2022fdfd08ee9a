package batch_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// A middleware sees all jobs of a call before they are sent.
func ExampleEnqueueMiddleware() {
	full := errors.New("the tenant has too many jobs")
	limit := func(next batch.Enqueuer) batch.Enqueuer {
		return func(ctx context.Context, jobs []*batch.EnqueueJob) []batch.Result {
			if len(jobs) > 2 {
				results := make([]batch.Result, len(jobs))
				for i := range results {
					results[i].Err = full
				}
				return results
			}
			return next(ctx, jobs)
		}
	}
	d := memory.New()
	emails := batch.NewQueue(d, "emails", batch.WithEnqueueMiddleware(limit))
	_, err := batch.EnqueueAll(context.Background(), emails, []Welcome{{UserID: 7}, {UserID: 8}})
	fmt.Println(err)
	_, err = batch.EnqueueAll(context.Background(), emails, []Welcome{{UserID: 7}, {UserID: 8}, {UserID: 9}})
	fmt.Println(errors.Is(err, full))
	// Output:
	// <nil>
	// true
}
