package batch_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// Upload is the job of this example.
type Upload struct{ Name string }

// Kind names the job on the wire.
func (Upload) Kind() string { return "example.upload" }

// Each job of EnqueueMany has its own result. One that fails does not keep the
// others from being stored.
func ExampleQueue_EnqueueMany() {
	d := memory.New()
	uploads := batch.NewQueue(d, "uploads")
	results, err := uploads.EnqueueMany(context.Background(), []batch.Request[*memory.Driver]{
		{Args: Upload{"a.png"}},
		{Args: Upload{"b.png"}, Options: []batch.Option[*memory.Driver]{batch.Header(uploads, "note", strings.Repeat("x", 1<<20))}},
		{Args: Upload{"c.png"}},
	})
	for i, r := range results {
		fmt.Printf("job %d: stored %t, too large %t\n", i+1, r.Err == nil, errors.Is(r.Err, batch.ErrTooLarge))
	}
	var many *batch.ManyError
	if errors.As(err, &many) {
		fmt.Printf("%d of %d failed\n", many.Unconfirmed, many.Total)
	}
	// Output:
	// job 1: stored true, too large false
	// job 2: stored false, too large true
	// job 3: stored true, too large false
	// 1 of 3 failed
}
