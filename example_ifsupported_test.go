package batch_test

import (
	"context"
	"fmt"
	"log"

	"github.com/batch-go/batch"
)

// Thumbnail is the job of this example.
type Thumbnail struct{ Image string }

// Kind names the job on the wire.
func (Thumbnail) Kind() string { return "example.thumbnail" }

// An option that ends in IfSupported does not keep the program from running on a
// broker without it, and the receipt says whether it was applied.
func ExamplePriorityIfSupported() {
	ctx := context.Background()
	for _, url := range []string{"memory://", "plain://"} {
		d, err := batch.Open[batch.Driver](ctx, url)
		if err != nil {
			log.Fatal(err)
		}
		images := batch.NewQueue(d, "thumbnails")
		receipt, err := images.Enqueue(ctx, Thumbnail{"cat.jpg"},
			batch.PriorityIfSupported(images, batch.High), batch.UniqueIfSupported(images, "cat.jpg"))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: not applied: %q\n", d.Info().Driver, receipt.NotApplied)
	}
	// Output:
	// memory: not applied: []
	// plain: not applied: ["Priority" "Unique"]
}
