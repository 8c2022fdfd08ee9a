package batch_test

import (
	"context"
	"fmt"
	"log"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// Archive is the job of this example.
type Archive struct{ Folder string }

// Kind names the job on the wire.
func (Archive) Kind() string { return "example.archive" }

// Middleware runs around every handler of a worker; the first is the outermost.
func ExampleMiddleware() {
	ctx := context.Background()
	d := memory.New()
	archives := batch.NewQueue(d, "archives")
	if _, err := archives.Enqueue(ctx, Archive{"2026"}); err != nil {
		log.Fatal(err)
	}

	trace := func(name string) batch.Middleware {
		return func(next batch.Handler) batch.Handler {
			return func(ctx context.Context, job *batch.JobInfo) error {
				fmt.Println(name, "begins", job.Kind)
				err := next(ctx, job)
				fmt.Println(name, "ends:", err)
				return err
			}
		}
	}
	ended := make(onEnd, 1)
	w := batch.NewWorker(d, batch.WorkerConfig{
		Queues:     []batch.WorkerQueue{{Name: "archives"}},
		Middleware: []batch.Middleware{trace("outer"), trace("inner")},
		Hooks:      []batch.Hook{ended},
	})
	batch.Handle(w, func(ctx context.Context, job *batch.Job[Archive]) error {
		fmt.Println("archiving", job.Args.Folder)
		return nil
	})
	if err := w.Start(ctx); err != nil {
		log.Fatal(err)
	}
	<-ended
	if err := w.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// outer begins example.archive
	// inner begins example.archive
	// archiving 2026
	// inner ends: <nil>
	// outer ends: <nil>
}
