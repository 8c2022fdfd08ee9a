package batch_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/batch-go/batch"
)

// Resize is the job of this example.
type Resize struct{ Image string }

// Kind names the job on the wire.
func (Resize) Kind() string { return "example.resize" }

// A tool looks at any queue of any broker, and does what the broker can do.
func ExampleAdmin() {
	ctx := context.Background()
	for _, url := range []string{"memory://", "plain://"} {
		d, err := batch.Open[batch.Driver](ctx, url)
		if err != nil {
			log.Fatal(err)
		}
		if _, err := batch.NewQueue(d, "images").Enqueue(ctx, Resize{"cat.jpg"}); err != nil {
			log.Fatal(err)
		}

		images, err := batch.Admin(d, "images")
		if err != nil {
			log.Fatal(err)
		}
		depth, err := images.Depth(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %d waiting\n", d.Info().Driver, depth.Waiting)
		if images.CanInspect() {
			page, _, err := images.ListJobs(ctx, batch.StateWaiting, "", 10)
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println("  the first:", page[0].Kind)
		}
		if err := images.Pause(ctx); errors.Is(err, batch.ErrCapability) {
			fmt.Println(" ", err)
		}

		mistyped, err := batch.Admin(d, "imagse")
		if err != nil {
			log.Fatal(err)
		}
		_, err = mistyped.Depth(ctx)
		fmt.Println("  no such queue:", errors.Is(err, batch.ErrNotFound))
	}
	// Output:
	// memory: 1 waiting
	//   the first: example.resize
	//   no such queue: true
	// plain: 1 waiting
	//   batch: driver plain (Plain 1.0) lacks Pauser (supported by: memory)
	//   no such queue: true
}
