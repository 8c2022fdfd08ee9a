// Package telemetry is what the service tells about itself: traces, metrics and the log.
package telemetry

import (
	"context"
	"io"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	nometrics "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	notraces "go.opentelemetry.io/otel/trace/noop"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/examples/service/config"
	"github.com/batch-go/batch/otelbatch"
	"github.com/batch-go/batch/prombatch"
)

// Telemetry is that of one process. The metrics go to Prometheus and the traces to OpenTelemetry: either could have both.
type Telemetry struct {
	// Log writes JSON, with the trace of what a line is about.
	Log *slog.Logger
	// Metrics has all metrics of the process.
	Metrics *prometheus.Registry

	traces trace.TracerProvider
	counts *prombatch.Metrics
	// flush sends what is left, and ends the traces.
	flush func(context.Context) error
}

// New makes the telemetry of a process that is called by the service's name. Close it at the very end.
func New(ctx context.Context, service string, c config.Config, log io.Writer) (*Telemetry, error) {
	t := &Telemetry{
		Log:     slog.New(otelbatch.LogHandler(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: c.LogLevel}))),
		Metrics: prometheus.NewRegistry(),
		traces:  notraces.NewTracerProvider(),
		counts:  prombatch.New(prombatch.Config{}),
		flush:   func(context.Context) error { return nil },
	}
	t.Metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), t.counts)
	if c.TracesURL == "" {
		return t, nil
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(attribute.String("service.name", service)), resource.WithFromEnv())
	if err != nil {
		return nil, err
	}
	exporter, err := otlptracehttp.New(ctx) // by OTEL_EXPORTER_OTLP_ENDPOINT, as c.TracesURL is, and its siblings
	if err != nil {
		return nil, err
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about)) // OTEL_TRACES_SAMPLER counts
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { t.Log.Warn("traces cannot be sent", "err", err) }))
	t.traces, t.flush = provider, provider.Shutdown
	return t, nil
}

// Hooks watch the queues and workers of a driver. That of the traces comes first, so that the context of the others has
// its span.
func (t *Telemetry) Hooks(d batch.Driver) ([]batch.Hook, error) {
	spans, err := otelbatch.New(d, otelbatch.Config{TracerProvider: t.traces, MeterProvider: nometrics.NewMeterProvider()})
	if err != nil {
		return nil, err
	}
	return []batch.Hook{spans, t.counts}, nil
}

// WatchDepths adds the depths of queues to the metrics. One program of the service does that, one that is always there.
func (t *Telemetry) WatchDepths(d batch.Driver, queues []string) error {
	depths, err := prombatch.TryNewDepths(d, prombatch.DepthConfig{Queues: queues})
	if err != nil {
		return err
	}
	return t.Metrics.Register(depths)
}

// Requests gives a handler's requests spans, by the patterns of its routes.
func (t *Telemetry) Requests(h http.Handler) http.Handler {
	return otelhttp.NewHandler(h, "", otelhttp.WithTracerProvider(t.traces), otelhttp.WithPropagators(propagation.TraceContext{}))
}

// Client makes requests to others, with spans.
func (t *Telemetry) Client() *http.Client {
	return &http.Client{Transport: otelhttp.NewTransport(http.DefaultTransport,
		otelhttp.WithTracerProvider(t.traces), otelhttp.WithPropagators(propagation.TraceContext{}))}
}

// Scrape answers Prometheus.
func (t *Telemetry) Scrape() http.Handler {
	return promhttp.HandlerFor(t.Metrics, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(t.Log.Handler(), slog.LevelError)})
}

// Close sends the traces that were not sent yet.
func (t *Telemetry) Close(ctx context.Context) error { return t.flush(ctx) }
