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

// Render is the job of this example.
type Render struct{ Page int }

// Kind names the job on the wire.
func (Render) Kind() string { return "example.render" }

// A handler's context ends at the job's timeout, and its cause says so.
func ExampleTimeout() {
	ctx := context.Background()
	d := memory.New()
	renders := batch.NewQueue(d, "renders")
	_, err := renders.Enqueue(ctx, Render{Page: 1},
		batch.Timeout(renders, 10*time.Millisecond), batch.MaxAttempts(renders, 1))
	if err != nil {
		log.Fatal(err)
	}

	w := batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "renders"}}})
	ran := make(chan struct{})
	batch.Handle(w, func(ctx context.Context, job *batch.Job[Render]) error {
		<-ctx.Done() // what a handler waits for, beside its work
		fmt.Println("timed out:", errors.Is(context.Cause(ctx), batch.ErrTimeout))
		close(ran)
		return errors.New("page not finished")
	})
	if err := w.Start(ctx); err != nil {
		log.Fatal(err)
	}
	<-ran
	if err := w.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	page, _, err := renders.DeadLetters().List(ctx, "", 10)
	for _, l := range page {
		fmt.Printf("%s: %s\n", l.Reason, l.LastError)
	}
	fmt.Println(err)
	// Output:
	// timed out: true
	// max-attempts: batch: job timed out after 10ms: page not finished
	// <nil>
}
