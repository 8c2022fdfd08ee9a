package otelbatch_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/otelbatch"
)

// Welcome is the job of this example.
type Welcome struct{ UserID int }

// Kind names the job on the wire.
func (Welcome) Kind() string { return "email.welcome" }

// The hook goes to the queue and to the worker. A program has an exporter where this one
// keeps the spans.
func Example() {
	ctx := context.Background()
	spans := tracetest.NewInMemoryExporter()
	provider := trace.NewTracerProvider(trace.WithSyncer(spans))

	d := memory.New()
	hook, err := otelbatch.New(d, otelbatch.Config{TracerProvider: provider})
	if err != nil {
		log.Fatal(err)
	}
	emails := batch.NewQueue(d, "emails", batch.WithHooks(hook))
	if _, err := emails.Enqueue(ctx, Welcome{UserID: 7}); err != nil {
		log.Fatal(err)
	}

	done := make(chan struct{})
	w := batch.NewWorker(d, batch.WorkerConfig{
		Queues: []batch.WorkerQueue{{Name: "emails"}},
		Hooks:  []batch.Hook{hook},
		Log:    slog.New(otelbatch.LogHandler(slog.NewJSONHandler(os.Stderr, nil))),
	})
	batch.Handle(w, func(ctx context.Context, job *batch.Job[Welcome]) error {
		if job.Attempt == 1 {
			return errors.New("mailbox full")
		}
		close(done)
		return nil
	}, batch.HandleRetry(batch.ConstantBackoff(time.Millisecond)))
	if err := w.Start(ctx); err != nil {
		log.Fatal(err)
	}
	<-done
	if err := w.Stop(ctx); err != nil {
		log.Fatal(err)
	}

	all := spans.GetSpans()
	for _, span := range all {
		fmt.Print(span.SpanKind, ": ", span.Name, ", ", strings.TrimSpace(span.Status.Code.String()+" "+span.Status.Description))
		if len(span.Links) > 0 {
			fmt.Print(", linked to the enqueue: ", span.Links[0].SpanContext.SpanID() == all[0].SpanContext.SpanID())
		}
		fmt.Println()
	}
	// Output:
	// producer: send emails, Unset
	// consumer: process emails, Error mailbox full, linked to the enqueue: true
	// consumer: process emails, Unset, linked to the enqueue: true
}
