package batch_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// Quote is the job of this example.
type Quote struct{ Symbol string }

// Kind names the job on the wire.
func (Quote) Kind() string { return "example.quote" }

// onEnd is a hook that passes on what became of each job.
type onEnd chan batch.JobEnd

// OnJobEnd is called for each job.
func (c onEnd) OnJobEnd(_ context.Context, e batch.JobEnd) { c <- e }

// A job whose deadline for starting has passed does not run: it becomes a dead
// letter.
func ExampleExpiresIn() {
	ctx := context.Background()
	d := memory.New()
	quotes := batch.NewQueue(d, "quotes")
	_, err := quotes.Enqueue(ctx, Quote{"GOOG"},
		batch.ExpiresIn(quotes, 5*time.Millisecond), batch.Delay(quotes, 10*time.Millisecond))
	if err != nil {
		log.Fatal(err)
	}

	ended := make(onEnd, 1)
	w := batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "quotes"}}, Hooks: []batch.Hook{ended}})
	batch.Handle(w, func(ctx context.Context, job *batch.Job[Quote]) error {
		fmt.Println("a stale quote was used")
		return nil
	})
	if err := w.Start(ctx); err != nil {
		log.Fatal(err)
	}
	e := <-ended
	fmt.Printf("started %t, %s: %s (%v)\n", e.Started, e.Verdict.Outcome, e.Verdict.Reason, e.Err)
	if err := w.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: started false, dead: expired (not started before its expiry)
}
