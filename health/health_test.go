package health_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/health"
	"github.com/batch-go/batch/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// Mail is the job of these tests.
type Mail struct{}

// Kind names the job on the wire.
func (Mail) Kind() string { return "mail" }

// flaky is a broker that can go away: it then leaves questions about the depth without an answer.
type flaky struct {
	*memory.Driver
	away   atomic.Bool
	depths atomic.Int64 // how often it was asked
	extend chan struct{}
}

func newFlaky() *flaky { return &flaky{Driver: memory.New()} }

func (f *flaky) Depth(ctx context.Context, queue string) (driver.Depth, error) {
	f.depths.Add(1)
	if f.away.Load() {
		<-ctx.Done()
		return driver.Depth{}, &driver.Error{Driver: "flaky", Op: "depth", Queue: queue, Kind: driver.ErrUnavailable, Err: ctx.Err()}
	}
	return f.Driver.Depth(ctx, queue)
}

func (f *flaky) Consume(ctx context.Context, queue string, o driver.ConsumeOptions) (driver.Consumer, error) {
	c, err := f.Driver.Consume(ctx, queue, o)
	if err != nil || f.extend == nil {
		return c, err
	}
	return &hanging{c, f.extend}, nil
}

// hanging is a consumer whose Extend does not return before a channel is closed.
type hanging struct {
	driver.Consumer
	until chan struct{}
}

func (h *hanging) Extend(_ context.Context, deliveries []*driver.Delivery) []error {
	<-h.until
	return make([]error, len(deliveries))
}

// program is a worker with its probes.
type program struct {
	t     *testing.T
	queue *batch.Queue[*memory.Driver]
	w     *batch.Worker
	check *health.Check
}

// newProgram makes a worker on the queue mail that is not started.
func newProgram(t *testing.T, f *flaky, config health.Config, worker batch.WorkerConfig, handle func(context.Context, *batch.Job[Mail]) error, o ...batch.HandleOption) *program {
	t.Helper()
	worker.Queues = []batch.WorkerQueue{{Name: "mail"}}
	worker.Log = slog.New(slog.DiscardHandler)
	p := &program{t: t, queue: batch.NewQueue(f.Driver, "mail"), check: health.Watch(f, &worker, config)}
	p.w = batch.NewWorker(f, worker)
	batch.Handle(p.w, handle, o...)
	return p
}

// start starts the worker.
func (p *program) start() {
	p.t.Helper()
	if err := p.w.Start(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
}

// stop stops the worker.
func (p *program) stop() {
	p.t.Helper()
	if err := p.w.Stop(context.Background()); err != nil {
		p.t.Error(err)
	}
}

// enqueue enqueues a job.
func (p *program) enqueue() {
	p.t.Helper()
	if _, err := p.queue.Enqueue(p.t.Context(), Mail{}); err != nil {
		p.t.Fatal(err)
	}
}

// live asks for liveness.
func (p *program) live() (int, health.Liveness) {
	p.t.Helper()
	return ask[health.Liveness](p.t, p.check.Live(p.w))
}

// ready asks for readiness.
func (p *program) ready() (int, health.Readiness) {
	p.t.Helper()
	return ask[health.Readiness](p.t, p.check.Ready(p.w))
}

// ask asks a handler and decodes what it answers.
func ask[T any](t *testing.T, h http.Handler) (status int, body T) {
	t.Helper()
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/", nil))
	if kind := answer.Header().Get("Content-Type"); kind != "application/json" {
		t.Errorf("the content type is %q", kind)
	}
	decoder := json.NewDecoder(answer.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&body); err != nil {
		t.Fatal(err)
	}
	return answer.Code, body
}

// done is a handler that has nothing to do.
func done(context.Context, *batch.Job[Mail]) error { return nil }
