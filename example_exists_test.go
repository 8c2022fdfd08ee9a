package batch_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// Only an enqueue and Declare make a queue. Whatever reads it does not.
func ExampleQueue_Exists() {
	ctx := context.Background()
	orders := batch.NewQueue(memory.New(), "orders")
	_, err := orders.Depth(ctx)
	fmt.Println("no such queue:", errors.Is(err, batch.ErrNotFound))

	if err := orders.Declare(ctx); err != nil {
		log.Fatal(err)
	}
	exists, err := orders.Exists(ctx)
	fmt.Println(exists, err)
	// Output:
	// no such queue: true
	// true <nil>
}
