// Command idempotency shows how jobs that come twice have one effect:
//
//	go run ./examples/idempotency
//
// A shop enqueues the charge for an order, does not hear whether it was stored,
// and enqueues it again, and once more. The broker keeps all three jobs, and
// hands out all three. For each key, which here is the order's number, the
// middleware of package idempotency lets only the first job through.
//
// BATCH_URL moves it to another broker and defaults to memory://. The store is
// in memory, as the program is the only worker; several processes would share one
// of package sqlstore, pgxstore or redisstore.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/idempotency"

	// The drivers that BATCH_URL may name.
	_ "github.com/batch-go/batch/driver/memory"
	_ "github.com/batch-go/batch/driver/redis"
)

// Charge is the job.
type Charge struct {
	Order int `json:"order"`
	Cents int `json:"cents"`
}

// Kind is the job's name on the wire.
func (Charge) Kind() string { return "idempotency.charge" }

func main() {
	url := os.Getenv("BATCH_URL")
	if url == "" {
		url = "memory://"
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	d, err := batch.Open[batch.Driver](ctx, url)
	if err == nil {
		defer d.Close(ctx)
		err = run(ctx, d, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "idempotency:", err)
		os.Exit(1)
	}
}

// run enqueues, works and prints.
func run(ctx context.Context, d batch.Driver, out io.Writer) error {
	charges := batch.NewQueue(d, "idempotency-example")
	if err := charges.Delete(ctx); err != nil { // left by a run that was killed
		return err
	}
	jobs := []Charge{{1001, 4999}, {1001, 4999}, {1002, 1500}, {1001, 4999}}
	for _, job := range jobs {
		r, err := charges.Enqueue(ctx, job)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "enqueued order %d as job %s\n", job.Order, r.ID)
	}

	byOrder := idempotency.ByKey(func(job *batch.JobInfo) (string, error) {
		charge := job.DecodedArgs().(Charge)
		return fmt.Sprintf("charge:%d", charge.Order), nil
	})
	ended := make(ending, len(jobs))
	w := batch.NewWorker(d, batch.WorkerConfig{
		Queues: []batch.WorkerQueue{{Name: charges.Name()}},
		Middleware: []batch.Middleware{
			idempotency.Middleware(idempotency.NewMemory(0), byOrder, idempotency.Wait(10*time.Millisecond)),
		},
		Hooks: []batch.Hook{ended},
		Log:   slog.New(slog.DiscardHandler), // the output is the program's alone
	})
	var total, effects atomic.Int64
	batch.Handle(w, func(ctx context.Context, job *batch.Job[Charge]) error {
		effects.Add(1)
		total.Add(int64(job.Args.Cents))
		return nil
	})
	if err := w.Start(ctx); err != nil {
		return err
	}
	for range jobs {
		select {
		case <-ended:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if err := w.Stop(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d jobs done, %d charges made, %d cents\n", len(jobs), effects.Load(), total.Load())
	return charges.Delete(ctx)
}

// ending is a hook that tells of each job that is done.
type ending chan struct{}

// OnJobEnd is called for each delivery; one that found its key in use comes again.
func (c ending) OnJobEnd(_ context.Context, e batch.JobEnd) {
	if e.Verdict.Outcome == batch.OutcomeDone {
		c <- struct{}{}
	}
}
