package batch_test

import (
	"context"
	"fmt"
	"log"

	"github.com/batch-go/batch"
)

// A program that needs nothing special of its broker can still use what it has.
func ExampleAs() {
	ctx := context.Background()
	for _, url := range []string{"memory://", "plain://"} {
		d, err := batch.Open[batch.Driver](ctx, url)
		if err != nil {
			log.Fatal(err)
		}
		queue := batch.NewQueue(d, "uploads")
		if err := queue.Declare(ctx); err != nil {
			log.Fatal(err)
		}
		if able, ok := batch.As[batch.Pauser](queue); ok {
			if err := batch.Pause(ctx, able); err != nil {
				log.Fatal(err)
			}
			fmt.Printf("%s: %s is paused\n", d.Info().Driver, queue.Name())
		} else {
			fmt.Printf("%s: stop the workers by hand\n", d.Info().Driver)
		}
	}
	// Output:
	// memory: uploads is paused
	// plain: stop the workers by hand
}
