package otelbatch_test

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/internal/leak"
	"github.com/batch-go/batch/otelbatch"
)

func TestMain(m *testing.M) { leak.Main(m) }

// task is the job of the tests.
type task struct{ N int }

func (task) Kind() string { return "task" }

// silent is a log that is not written.
var silent = slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1}))

// faulty is the memory driver, with faults where a test wants them.
type faulty struct {
	*memory.Driver
	// The functions are called instead of the method with what it would return.
	enqueue func(ctx context.Context, messages []*driver.Message) []driver.Result
	declare func() error
	depth   func(ctx context.Context, queue string) (driver.Depth, error)
	extend  func([]*driver.Delivery) []error
	settle  func([]driver.Settlement) []error
}

func (d *faulty) Declare(ctx context.Context, queue string) error {
	if d.declare != nil {
		if err := d.declare(); err != nil {
			return err
		}
	}
	return d.Driver.Declare(ctx, queue)
}

func (d *faulty) Enqueue(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	if d.enqueue != nil {
		if results := d.enqueue(ctx, messages); results != nil {
			return results
		}
	}
	return d.Driver.Enqueue(ctx, queue, messages)
}

func (d *faulty) Depth(ctx context.Context, queue string) (driver.Depth, error) {
	if d.depth != nil {
		return d.depth(ctx, queue)
	}
	return d.Driver.Depth(ctx, queue)
}

func (d *faulty) Consume(ctx context.Context, queue string, o driver.ConsumeOptions) (driver.Consumer, error) {
	c, err := d.Driver.Consume(ctx, queue, o)
	return &faultyConsumer{c, d}, err
}

// faultyConsumer is the consumer of a faulty driver.
type faultyConsumer struct {
	driver.Consumer
	of *faulty
}

func (c *faultyConsumer) Extend(ctx context.Context, deliveries []*driver.Delivery) []error {
	if c.of.extend != nil {
		if errs := c.of.extend(deliveries); errs != nil {
			return errs
		}
	}
	return c.Consumer.Extend(ctx, deliveries)
}

func (c *faultyConsumer) Settle(ctx context.Context, settlements []driver.Settlement) []error {
	if c.of.settle != nil {
		if errs := c.of.settle(settlements); errs != nil {
			return errs
		}
	}
	return c.Consumer.Settle(ctx, settlements)
}

// fault is an error of a driver.
func fault(kind error, fate driver.Fate) error {
	return &driver.Error{Driver: "test", Op: "call", Kind: kind, Fate: fate}
}

// same are n errors.
func same(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// rig is a queue and a worker with a hook whose spans and metrics are kept.
type rig struct {
	t      *testing.T
	driver *faulty
	spans  *tracetest.SpanRecorder
	reader *metric.ManualReader
	tracer *trace.TracerProvider
	hook   *otelbatch.Hook
	queue  *batch.Queue[*faulty]
	config batch.WorkerConfig
	worker *batch.Worker
	// runs counts the handlers that were called.
	runs atomic.Int64
}

// newRig makes one. set may change how the hook is made.
func newRig(t *testing.T, set func(*otelbatch.Config), options ...batch.QueueOption) *rig {
	t.Helper()
	r := &rig{t: t, driver: &faulty{Driver: memory.New()}, spans: tracetest.NewSpanRecorder(), reader: metric.NewManualReader()}
	r.tracer = trace.NewTracerProvider(trace.WithSpanProcessor(r.spans))
	config := otelbatch.Config{TracerProvider: r.tracer, MeterProvider: metric.NewMeterProvider(metric.WithReader(r.reader))}
	if set != nil {
		set(&config)
	}
	var err error
	if r.hook, err = otelbatch.New(r.driver, config); err != nil {
		t.Fatal(err)
	}
	r.queue = batch.NewQueue(r.driver, "tasks", append([]batch.QueueOption{batch.WithHooks(r.hook)}, options...)...)
	r.config = batch.WorkerConfig{
		Queues: []batch.WorkerQueue{{Name: "tasks", Concurrency: 4}}, Hooks: []batch.Hook{r.hook}, Log: silent,
		RetryPolicy: batch.ConstantBackoff(time.Second),
	}
	return r
}

// enqueue enqueues a job.
func (r *rig) enqueue(args batch.Args, options ...batch.Option[*faulty]) batch.Receipt {
	r.t.Helper()
	receipt, err := r.queue.Enqueue(r.t.Context(), args, options...)
	if err != nil {
		r.t.Fatal(err)
	}
	return receipt
}

// start starts a worker with a handler for tasks.
func (r *rig) start(handle func(ctx context.Context, job *batch.Job[task]) error, options ...batch.HandleOption) {
	r.t.Helper()
	r.worker = batch.NewWorker(r.driver, r.config)
	batch.Handle(r.worker, func(ctx context.Context, job *batch.Job[task]) error {
		r.runs.Add(1)
		return handle(ctx, job)
	}, options...)
	if err := r.worker.Start(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// stop stops the worker within a time.
func (r *rig) stop(within time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	_ = r.worker.Stop(ctx) // that something could not be settled is what some tests are about
}

// ended are the spans whose names begin with a prefix, in the order of their starts. It
// checks that each span that has started has ended, and once.
func (r *rig) ended(prefix string) []trace.ReadOnlySpan {
	r.t.Helper()
	ends := make(map[string]int)
	var found []trace.ReadOnlySpan
	for _, span := range r.spans.Ended() {
		ends[span.SpanContext().SpanID().String()]++
		if strings.HasPrefix(span.Name(), prefix) {
			found = append(found, span)
		}
	}
	for _, span := range r.spans.Started() {
		if n := ends[span.SpanContext().SpanID().String()]; n != 1 {
			r.t.Errorf("the span %s ended %d times", span.Name(), n)
		}
	}
	slices.SortStableFunc(found, func(a, b trace.ReadOnlySpan) int { return a.StartTime().Compare(b.StartTime()) })
	return found
}

// only is the one span whose name begins with a prefix.
func (r *rig) only(prefix string) trace.ReadOnlySpan {
	r.t.Helper()
	spans := r.ended(prefix)
	if len(spans) != 1 {
		r.t.Fatalf("there are %d spans %q, want one", len(spans), prefix)
	}
	return spans[0]
}

// valueOf is an attribute of a span as text, empty if there is none.
func valueOf(span trace.ReadOnlySpan, key string) string {
	for _, a := range span.Attributes() {
		if string(a.Key) == key {
			return a.Value.String()
		}
	}
	return ""
}

// collect reads the metrics, by name.
func (r *rig) collect() (map[string]metricdata.Metrics, error) {
	var all metricdata.ResourceMetrics
	err := r.reader.Collect(context.Background(), &all)
	found := make(map[string]metricdata.Metrics)
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			found[m.Name] = m
		}
	}
	return found, err
}

// point is one measurement: its attributes in one line, and its value or number.
type point struct {
	attributes string
	value      float64
}

// points are the measurements of a metric.
func points(m metricdata.Metrics) []point {
	var all []point
	line := func(set attribute.Set) string { return set.Encoded(attribute.DefaultEncoder()) }
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			all = append(all, point{line(p.Attributes), float64(p.Value)})
		}
	case metricdata.Gauge[int64]:
		for _, p := range data.DataPoints {
			all = append(all, point{line(p.Attributes), float64(p.Value)})
		}
	case metricdata.Gauge[float64]:
		for _, p := range data.DataPoints {
			all = append(all, point{line(p.Attributes), p.Value})
		}
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			all = append(all, point{line(p.Attributes), float64(p.Count)})
		}
	}
	return all
}
