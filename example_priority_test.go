package batch_test

import (
	"context"
	"fmt"
	"log"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// Alert is the job of this example.
type Alert struct{ Text string }

// Kind names the job on the wire.
func (Alert) Kind() string { return "example.alert" }

// Of the waiting jobs, those of a higher level are always handed out first.
func ExamplePriority() {
	ctx := context.Background()
	d := memory.New()
	alerts := batch.NewQueue(d, "alerts")
	results, err := alerts.EnqueueMany(ctx, []batch.Request[*memory.Driver]{
		{Args: Alert{"disk half full"}, Options: []batch.Option[*memory.Driver]{batch.Priority(alerts, batch.Low)}},
		{Args: Alert{"certificate expires in a week"}},
		{Args: Alert{"site down"}, Options: []batch.Option[*memory.Driver]{batch.Priority(alerts, batch.Critical)}},
	})
	if err != nil {
		log.Fatal(err)
	}

	// With one slot and no prefetching, jobs run in the broker's order.
	w := batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{
		{Name: "alerts", Concurrency: 1, Prefetch: batch.NoPrefetch},
	}})
	ran := make(chan string, len(results))
	batch.Handle(w, func(ctx context.Context, job *batch.Job[Alert]) error {
		ran <- job.Args.Text
		return nil
	})
	if err := w.Start(ctx); err != nil {
		log.Fatal(err)
	}
	for range results {
		fmt.Println(<-ran)
	}
	if err := w.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// site down
	// certificate expires in a week
	// disk half full
}
