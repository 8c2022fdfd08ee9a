package batch_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// Ping is the job of this example.
type Ping struct{ Host string }

// Kind names the job on the wire.
func (Ping) Kind() string { return "example.ping" }

// A mistake in the program is found before anything is sent.
func ExampleInvalidError() {
	ctx := context.Background()
	pings := batch.NewQueue(memory.New(), "pings")
	for _, option := range []batch.Option[*memory.Driver]{
		batch.Priority(pings, 7),
		batch.Header(pings, "batch-id", "1"),
		batch.MaxAttempts(pings, -1),
	} {
		_, err := pings.Enqueue(ctx, Ping{"example.com"}, option)
		fmt.Println(err)
	}
	_, err := batch.TryNewQueue(memory.New(), "e-mails & more")
	fmt.Println(err)
	var invalid *batch.InvalidError
	fmt.Println(errors.As(err, &invalid), errors.Is(err, batch.ErrInvalid))
	// Output:
	// batch: invalid Priority Level(7): must be one of Trivial, Low, Normal, High, Critical
	// batch: invalid header name "batch-id": must be a name that does not start with batch-, which is reserved
	// batch: invalid MaxAttempts -1: must be 1 to 1000
	// batch: invalid queue name "e-mails & more": must be 1 to 64 bytes of [A-Za-z0-9_-]
	// true true
}

// What the broker did not confirm has a fate: certainly not stored, or unknown.
func ExampleEnqueueError() {
	ctx := context.Background()
	d, err := memory.Open(ctx, "memory://?max_jobs=1")
	if err != nil {
		log.Fatal(err)
	}
	pings := batch.NewQueue(d, "pings")
	for _, id := range []string{"first", "second"} {
		_, err = pings.Enqueue(ctx, Ping{"example.com"}, batch.ID(pings, id))
	}
	fmt.Println(err)
	var failed *batch.EnqueueError
	if errors.As(err, &failed) {
		fmt.Println(failed.ID, failed.Fate == batch.FateNotStored, errors.Is(err, batch.ErrFull))
	}
	// Output:
	// batch: enqueue job second on queue pings (not stored): memory: enqueue on queue pings: broker full: max_bytes or max_jobs is reached (let workers catch up, discard dead letters, or raise the broker's options)
	// second true true
}
