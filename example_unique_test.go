package batch_test

import (
	"context"
	"fmt"
	"log"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// Report is the job of this example.
type Report struct{ Month string }

// Kind names the job on the wire.
func (Report) Kind() string { return "example.report" }

// Within the driver's window a second job with the same key is not stored, and
// its receipt says so.
func ExampleUnique() {
	ctx := context.Background()
	d := memory.New()
	reports := batch.NewQueue(d, "reports")
	for _, id := range []string{"first", "second"} {
		r, err := reports.Enqueue(ctx, Report{"2026-11"}, batch.Unique(reports, "report:2026-11"), batch.ID(reports, id))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("duplicate: %t, stored: %s\n", r.Duplicate, r.ID)
	}
	depth, err := reports.Depth(ctx)
	fmt.Println("waiting:", depth.Waiting, err)
	// Output:
	// duplicate: false, stored: first
	// duplicate: true, stored: first
	// waiting: 1 <nil>
}
