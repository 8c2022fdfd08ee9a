package collector

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/trace"
	api "go.opentelemetry.io/otel/trace"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/otelbatch"
)

// Welcome greets a user who has signed up.
type Welcome struct{ UserID string }

// Kind names the job on the wire.
func (Welcome) Kind() string { return "email.welcome" }

// service is an API and a worker, which send their telemetry to a Collector.
type service struct {
	driver           batch.Driver
	queue, collector string

	tracer *trace.TracerProvider
	meter  *metric.MeterProvider
	hook   *otelbatch.Hook
}

// run has the service work on one request, until its job is done, and all is sent.
func (s *service) run(t *testing.T) {
	t.Helper()
	s.connect(t)
	emails := batch.NewQueue(s.driver, s.queue, batch.WithHooks(s.hook))
	web := httptest.NewServer(s.handler(emails))
	answer, err := http.Post(web.URL+"/users/7/welcome", "", nil)
	web.Close() // waits for the span of the request, which ends after the answer
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		t.Fatalf("the answer is %s", answer.Status)
	}
	s.work(t)
	if _, err := s.hook.ObserveDepth(s.queue); err != nil {
		t.Error(err)
	}
	if err := errors.Join(s.tracer.Shutdown(context.Background()), s.meter.Shutdown(context.Background())); err != nil {
		t.Error(err)
	}
	if err := emails.Delete(context.Background()); err != nil {
		t.Error(err)
	}
}

// connect makes the providers, as a program does, and the hook.
func (s *service) connect(t *testing.T) {
	t.Helper()
	spans, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpoint(s.collector), otlptracehttp.WithInsecure())
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := otlpmetrichttp.New(t.Context(), otlpmetrichttp.WithEndpoint(s.collector), otlpmetrichttp.WithInsecure())
	if err != nil {
		t.Fatal(err)
	}
	s.tracer = trace.NewTracerProvider(trace.WithBatcher(spans))
	s.meter = metric.NewMeterProvider(metric.WithReader(metric.NewPeriodicReader(metrics)))
	s.hook, err = otelbatch.New(s.driver, otelbatch.Config{TracerProvider: s.tracer, MeterProvider: s.meter})
	if err != nil {
		t.Fatal(err)
	}
}

// handler is the API.
func (s *service) handler(emails *batch.Queue[batch.Driver]) http.Handler {
	const route = "POST /users/{id}/welcome"
	mux := http.NewServeMux()
	mux.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) {
		if _, err := emails.Enqueue(r.Context(), Welcome{UserID: r.PathValue("id")}); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	})
	return otelhttp.NewHandler(mux, "", otelhttp.WithTracerProvider(s.tracer), otelhttp.WithMeterProvider(s.meter),
		otelhttp.WithSpanNameFormatter(func(string, *http.Request) string { return route }))
}

// work is the worker, which stops when the job is done. The mailbox is full at first.
func (s *service) work(t *testing.T) {
	t.Helper()
	done := make(chan struct{})
	w := batch.NewWorker(s.driver, batch.WorkerConfig{
		Queues: []batch.WorkerQueue{{Name: s.queue}}, Hooks: []batch.Hook{s.hook}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	tracer := s.tracer.Tracer("mail")
	batch.Handle(w, func(ctx context.Context, job *batch.Job[Welcome]) error {
		_, span := tracer.Start(ctx, "smtp", api.WithSpanKind(api.SpanKindClient))
		defer span.End()
		if job.Attempt == 1 {
			return errors.New("mailbox full")
		}
		close(done)
		return nil
	}, batch.HandleRetry(batch.ConstantBackoff(10*time.Millisecond)))
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-done:
	case <-t.Context().Done():
		t.Fatal("the job was not done")
	}
	if err := w.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}
