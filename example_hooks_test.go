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

// Sync is the job of this example.
type Sync struct{ Shop string }

// Kind names the job on the wire.
func (Sync) Kind() string { return "example.sync" }

// meter is a hook: it implements the events that it cares about.
type meter struct{ ended chan struct{} }

// OnEnqueueEnd is called when the broker has answered.
func (m *meter) OnEnqueueEnd(_ context.Context, e batch.EnqueueEnd) {
	fmt.Printf("enqueued %s, %d bytes: %v\n", e.Kind, e.Size, e.Err)
}

// OnJobEnd is called when the fate of a delivery has been decided.
func (m *meter) OnJobEnd(_ context.Context, e batch.JobEnd) {
	fmt.Printf("attempt %d: %s, %d failures: %v\n", e.Job.Attempt, e.Verdict.Outcome, e.Verdict.Failures, e.Err)
	if e.Verdict.Outcome == batch.OutcomeDone {
		close(m.ended)
	}
}

// Hooks watch enqueues and jobs without changing what happens to them.
func ExampleHook() {
	ctx := context.Background()
	d := memory.New()
	m := &meter{ended: make(chan struct{})}
	syncs := batch.NewQueue(d, "syncs", batch.WithHooks(m))
	if _, err := syncs.Enqueue(ctx, Sync{"berlin"}); err != nil {
		log.Fatal(err)
	}

	w := batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "syncs"}}, Hooks: []batch.Hook{m}})
	batch.Handle(w, func(ctx context.Context, job *batch.Job[Sync]) error {
		if job.Attempt == 1 {
			return errors.New("shop is closed")
		}
		return nil
	}, batch.HandleRetry(batch.ConstantBackoff(time.Millisecond)))
	if err := w.Start(ctx); err != nil {
		log.Fatal(err)
	}
	<-m.ended
	if err := w.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// enqueued example.sync, 17 bytes: <nil>
	// attempt 1: retry, 1 failures: shop is closed
	// attempt 2: done, 1 failures: <nil>
}
