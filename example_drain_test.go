package batch_test

import (
	"context"
	"fmt"
	"log"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// Export is the job of this example.
type Export struct{ Part int }

// Kind names the job on the wire.
func (Export) Kind() string { return "example.export" }

// When the context of Run ends, jobs that have started are finished, and those that
// have not are given back.
func ExampleWorker_Run() {
	ctx, stop := context.WithCancel(context.Background())
	d := memory.New()
	exports := batch.NewQueue(d, "exports")
	for part := range 3 {
		if _, err := exports.Enqueue(ctx, Export{Part: part}); err != nil {
			log.Fatal(err)
		}
	}

	ended := make(onEnd, 3)
	w := batch.NewWorker(d, batch.WorkerConfig{
		Queues: []batch.WorkerQueue{{Name: "exports", Concurrency: 1, Prefetch: 1}},
		Hooks:  []batch.Hook{ended},
	})
	batch.Handle(w, func(ctx context.Context, job *batch.Job[Export]) error {
		stop() // as a signal would, in the middle of the first job
		other := <-ended
		fmt.Printf("prefetched, not started: %s, attempt %d\n", other.Verdict.Outcome, other.Job.Attempt)
		fmt.Println("started: may go on:", ctx.Err() == nil)
		return nil
	})
	if err := w.Run(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("then:", (<-ended).Verdict.Outcome)
	depth, err := exports.Depth(context.Background())
	fmt.Printf("waiting %d, running %d, %v\n", depth.Waiting, depth.Running, err)
	// Output:
	// prefetched, not started: release, attempt 1
	// started: may go on: true
	// then: done
	// waiting 2, running 0, <nil>
}
