//go:build !race

package otelbatch_test

import (
	"context"
	"math"
	"strings"
	"sync/atomic"
	"testing"

	"go.opentelemetry.io/otel/metric"
	nometrics "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	nospans "go.opentelemetry.io/otel/trace/noop"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/otelbatch"
)

// nothing is an exporter of spans that does nothing.
type nothing struct{}

func (nothing) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (nothing) Shutdown(context.Context) error                             { return nil }

// costs are what telemetry costs a job, from Enqueue to the confirmed settlement on the memory
// driver, in calls of a hundred. Each is what it is without a hook, and what one adds.
var costs = []struct {
	name   string
	tracer func() trace.TracerProvider
	meter  func() metric.MeterProvider
	hook   bool
	// budget is how much it may allocate a job, with room for one allocation.
	budget float64
}{
	{"no hook", nil, nil, false, 12},
	{"nothing recorded", noSpans, noMetrics, true, 28.4},
	{"metrics", noSpans, metrics, true, 30.4},
	{"spans, none sampled", unsampled, noMetrics, true, 41.4},
	{"spans", sampled, noMetrics, true, 52.5},
	{"spans and metrics", sampled, metrics, true, 54.5},
}

func noSpans() trace.TracerProvider   { return nospans.NewTracerProvider() }
func noMetrics() metric.MeterProvider { return nometrics.NewMeterProvider() }
func metrics() metric.MeterProvider {
	return sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
}
func unsampled() trace.TracerProvider { return provider(sdktrace.NeverSample()) }
func sampled() trace.TracerProvider   { return provider(sdktrace.AlwaysSample()) }
func provider(s sdktrace.Sampler) trace.TracerProvider {
	return sdktrace.NewTracerProvider(sdktrace.WithSampler(s), sdktrace.WithBatcher(nothing{}))
}

// TestAllocations judges the best of three runs, as a process allocates for other reasons too.
func TestAllocations(t *testing.T) {
	for _, c := range costs {
		best := math.Inf(1)
		for run := 0; run < 3 && best > c.budget; run++ {
			result := testing.Benchmark(func(b *testing.B) {
				var hooks []batch.Hook
				d := memory.New()
				if c.hook {
					tracer := c.tracer()
					hook, err := otelbatch.New(d, otelbatch.Config{TracerProvider: tracer, MeterProvider: c.meter()})
					if err != nil {
						b.Fatal(err)
					}
					hooks = append(hooks, hook)
					if p, ok := tracer.(*sdktrace.TracerProvider); ok {
						defer func() { _ = p.Shutdown(context.Background()) }()
					}
				}
				enqueueAndProcess(b, d, hooks)
			})
			best = min(best, float64(result.MemAllocs)/float64(result.N))
			t.Logf("%-20s %5.1f allocations, %5d bytes, %5d ns a job", c.name, best, result.AllocedBytesPerOp(), result.NsPerOp())
		}
		if best > c.budget {
			t.Errorf("%s: %.1f allocations a job, the budget is %.1f", c.name, best, c.budget)
		}
	}
}

// BenchmarkHook is the processor time of the hook alone, for one job: its enqueue and its run.
func BenchmarkHook(b *testing.B) {
	for _, c := range costs[1:] {
		b.Run(strings.ReplaceAll(c.name, " ", "-"), func(b *testing.B) {
			d := memory.New()
			hook, err := otelbatch.New(d, otelbatch.Config{TracerProvider: c.tracer(), MeterProvider: c.meter()})
			if err != nil {
				b.Fatal(err)
			}
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				start := batch.EnqueueStart{ID: "0199c2a4-0d5c-7c3e-9d56-2f7f2f3b9a10", Kind: "task", Queue: "tasks", Headers: make(map[string]string)}
				hook.OnEnqueueEnd(hook.OnEnqueueStart(ctx, &start), batch.EnqueueEnd{ID: start.ID, Kind: "task", Queue: "tasks"})
				job := batch.JobInfo{ID: start.ID, Kind: "task", Queue: "tasks", Attempt: 1, Deliveries: 1, Headers: start.Headers}
				hook.OnJobEnd(hook.OnJobStart(ctx, &job), batch.JobEnd{Job: &job, Started: true, Verdict: batch.Verdict{Outcome: batch.OutcomeDone}})
			}
		})
	}
}

// enqueueAndProcess moves b.N jobs through a queue and a worker.
func enqueueAndProcess(b *testing.B, d *memory.Driver, hooks []batch.Hook) {
	q := batch.NewQueue(d, "tasks", batch.WithHooks(hooks...))
	w := batch.NewWorker(d, batch.WorkerConfig{
		Queues: []batch.WorkerQueue{{Name: "tasks", Concurrency: 64, Prefetch: 448}}, Log: silent, Hooks: hooks,
	})
	done := make(chan struct{})
	var handled atomic.Int64
	batch.Handle(w, func(context.Context, *batch.Job[task]) error {
		if handled.Add(1) == int64(b.N) {
			close(done)
		}
		return nil
	})
	if err := w.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	tasks := make([]task, 100)
	for i := 0; i < b.N; i += len(tasks) {
		if _, err := batch.EnqueueAll(b.Context(), q, tasks[:min(len(tasks), b.N-i)]); err != nil {
			b.Fatal(err)
		}
	}
	<-done
	b.StopTimer()
	if err := w.Stop(context.Background()); err != nil {
		b.Fatal(err)
	}
}
