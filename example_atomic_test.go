package batch_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// Transfer is the job of this example.
type Transfer struct {
	Account string
	Cents   int
}

// Kind names the job on the wire.
func (Transfer) Kind() string { return "example.transfer" }

// All jobs are stored or none.
func ExampleEnqueueAtomic() {
	ctx := context.Background()
	d := memory.New()
	transfers := batch.NewQueue(d, "transfers")
	pair := []batch.Request[*memory.Driver]{
		{Args: Transfer{"from", -100}, Options: []batch.Option[*memory.Driver]{batch.Unique(transfers, "from:1")}},
		{Args: Transfer{"to", 100}, Options: []batch.Option[*memory.Driver]{batch.Unique(transfers, "to:1")}},
	}
	receipts, err := batch.EnqueueAtomic(ctx, transfers, pair)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("stored:", len(receipts))

	// The second of these is a duplicate, so the first is not stored either.
	pair[0].Options = nil
	_, err = batch.EnqueueAtomic(ctx, transfers, pair)
	var failed *batch.EnqueueError
	if errors.As(err, &failed) {
		fmt.Println("duplicate:", errors.Is(err, batch.ErrDuplicate), "- fate:", failed.Fate)
	}
	depth, err := transfers.Depth(ctx)
	fmt.Println("waiting:", depth.Waiting, err)
	// Output:
	// stored: 2
	// duplicate: true - fate: not stored
	// waiting: 2 <nil>
}
