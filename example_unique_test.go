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
	for range 2 {
		r, err := reports.Enqueue(ctx, Report{"2026-11"}, batch.Unique(reports, "report:2026-11"), batch.ID(reports, "november"))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("duplicate: %t, of: %q\n", r.Duplicate, r.DuplicateOf)
	}
	depth, err := reports.Depth(ctx)
	fmt.Println("waiting:", depth.Waiting, err)
	// Output:
	// duplicate: false, of: ""
	// duplicate: true, of: "november"
	// waiting: 1 <nil>
}
