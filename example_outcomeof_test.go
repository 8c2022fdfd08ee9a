package batch_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// Dump is the job of this example.
type Dump struct{ Table string }

// Kind names the job on the wire.
func (Dump) Kind() string { return "example.dump" }

// alarm is a middleware that tells somebody about failures, and not about jobs that only wait.
func alarm(next batch.Handler) batch.Handler {
	return func(ctx context.Context, job *batch.JobInfo) error {
		err := next(ctx, job)
		if asked := batch.OutcomeOf(err); asked.Kind.Failed() {
			fmt.Printf("alarm: %s: %v\n", asked.Kind, err)
		} else {
			fmt.Printf("no alarm: %s\n", asked.Kind)
		}
		return err
	}
}

// OutcomeOf reads what a handler asks for, as the worker does.
func ExampleOutcomeOf() {
	ctx := context.Background()
	d := memory.New()
	exports := batch.NewQueue(d, "exports")
	ran := make(chan struct{})
	w := batch.NewWorker(d, batch.WorkerConfig{
		Queues:     []batch.WorkerQueue{{Name: "exports", Concurrency: 1}},
		Middleware: []batch.Middleware{alarm},
	})
	runs := 0
	batch.Handle(w, func(ctx context.Context, job *batch.Job[Dump]) error {
		switch runs++; runs {
		case 1:
			return batch.Snooze(time.Millisecond)
		case 2:
			return batch.RetryAfter(time.Millisecond, errors.New("table is locked"))
		}
		defer close(ran)
		return nil
	})
	if _, err := exports.Enqueue(ctx, Dump{"users"}); err != nil {
		log.Fatal(err)
	}
	if err := w.Start(ctx); err != nil {
		log.Fatal(err)
	}
	<-ran
	if err := w.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// no alarm: snooze
	// alarm: retry after: table is locked
	// no alarm: done
}
