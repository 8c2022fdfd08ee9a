package prombatch_test

import (
	"context"
	"fmt"
	"log"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/prombatch"
)

// Invoice is the job of this example.
type Invoice struct{ Number int }

// Kind names the job on the wire.
func (Invoice) Kind() string { return "example.invoice" }

// Metrics are a hook of queues and workers, and depths are asked for when Prometheus scrapes.
func Example() {
	ctx := context.Background()
	d := memory.New()
	metrics := prombatch.New(prombatch.Config{})
	depths := prombatch.NewDepths(d, prombatch.DepthConfig{Queues: []string{"invoices"}})
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics, depths) // and serve it by promhttp.HandlerFor

	invoices := batch.NewQueue(d, "invoices", batch.WithHooks(metrics))
	if _, err := invoices.Enqueue(ctx, Invoice{7}); err != nil {
		log.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetName() {
			case "batch_enqueues_total":
				fmt.Println("enqueued:", m.GetCounter().GetValue())
			case "batch_queue_jobs":
				fmt.Println(m.GetLabel()[1].GetValue()+":", m.GetGauge().GetValue())
			}
		}
	}
	// Output:
	// enqueued: 1
	// dead: 0
	// running: 0
	// scheduled: 0
	// waiting: 1
}
