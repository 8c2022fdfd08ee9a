// Command customdriver runs a job on the driver of the folder sqlite, which
// package batch has never heard of. It opens it by URL, as it would any other:
//
//	go run ./examples/customdriver
//	go run ./examples/customdriver sqlite:///path/to/jobs.db
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/batch-go/batch"

	// It registers itself for URLs of sqlite.
	_ "github.com/batch-go/batch/examples/customdriver/sqlite"
)

// Greet is a job.
type Greet struct {
	Name string `json:"name"`
}

// Kind is the job's name on the wire.
func (Greet) Kind() string { return "customdriver.greet" }

func main() {
	url := "sqlite://" + filepath.Join(os.TempDir(), "batch-customdriver.db")
	if len(os.Args) > 1 {
		url = os.Args[1]
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx, url); err != nil {
		fmt.Fprintln(os.Stderr, "customdriver:", err)
		os.Exit(1)
	}
}

// run enqueues a job and waits until it has run.
func run(ctx context.Context, url string) error {
	d, err := batch.Open[batch.Driver](ctx, url)
	if err != nil {
		return err
	}
	defer d.Close(ctx)
	info := d.Info()
	fmt.Printf("%s %s has: %v\n", info.Broker, info.Version, batch.Capabilities(d))

	queue := batch.NewQueue(d, "greetings")
	if _, err := queue.Enqueue(ctx, Greet{Name: "world"}); err != nil {
		return err
	}
	w := batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: queue.Name()}}})
	ran := make(chan struct{}, 1)
	batch.Handle(w, func(_ context.Context, job *batch.Job[Greet]) error {
		fmt.Printf("hello, %s\n", job.Args.Name)
		select {
		case ran <- struct{}{}:
		default: // a job left by an earlier run
		}
		return nil
	})
	if err := w.Start(ctx); err != nil {
		return err
	}
	select {
	case <-ran:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return w.Stop(ctx)
}
