package batch_test

import (
	"context"
	"fmt"
	"log"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// Audit is the job of this example.
type Audit struct{ Event string }

// Kind names the job on the wire.
func (Audit) Kind() string { return "example.audit" }

// Headers hold what belongs to the request and not to the job.
func ExampleHeader() {
	ctx := context.Background()
	d := memory.New()
	audits := batch.NewQueue(d, "audits")
	_, err := audits.Enqueue(ctx, Audit{"login"},
		batch.Header(audits, "request-id", "r-123"),
		batch.Headers(audits, map[string]string{"tenant": "acme"}))
	if err != nil {
		log.Fatal(err)
	}

	w := batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "audits"}}})
	ran := make(chan struct{})
	batch.Handle(w, func(ctx context.Context, job *batch.Job[Audit]) error {
		fmt.Println(job.Headers["request-id"], job.Headers["tenant"])
		close(ran)
		return nil
	})
	if err := w.Start(ctx); err != nil {
		log.Fatal(err)
	}
	<-ran
	if err := w.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: r-123 acme
}
