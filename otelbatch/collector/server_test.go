package collector

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/service/telemetry"
	"go.uber.org/zap"
)

// server is a Collector that runs.
type server struct {
	// address is where it takes OTLP over HTTP.
	address string
	// traces and metrics are the files that it writes, an OTLP message in JSON a line.
	traces, metrics string
}

// startServer starts a Collector for a test.
func startServer(t *testing.T) *server {
	t.Helper()
	folder := t.TempDir()
	s := &server{address: freeAddress(t), traces: filepath.Join(folder, "traces.json"), metrics: filepath.Join(folder, "metrics.json")}
	config := fmt.Sprintf(`
receivers: {otlp: {protocols: {http: {endpoint: %q}}}}
exporters: {files: {}}
service:
  pipelines:
    traces: {receivers: [otlp], exporters: [files]}
    metrics: {receivers: [otlp], exporters: [files]}
`, s.address)
	collector, err := otelcol.NewCollector(otelcol.CollectorSettings{
		Factories: func() (otelcol.Factories, error) {
			otlp, files := otlpreceiver.NewFactory(), s.exporter()
			return otelcol.Factories{
				Receivers: map[component.Type]receiver.Factory{otlp.Type(): otlp},
				Exporters: map[component.Type]exporter.Factory{files.Type(): files},
				Telemetry: telemetry.NewFactory(func() component.Config { return &struct{}{} },
					telemetry.WithCreateLogger(func(context.Context, telemetry.LoggerSettings, component.Config) (*zap.Logger, component.ShutdownFunc, error) {
						return zap.NewNop(), nil, nil
					})),
			}, nil
		},
		BuildInfo:               component.BuildInfo{Command: "collector", Version: "test"},
		DisableGracefulShutdown: true,
		ConfigProviderSettings: otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
			URIs: []string{"yaml:" + config}, ProviderFactories: []confmap.ProviderFactory{yamlprovider.NewFactory()},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- collector.Run(context.Background()) }()
	awaitServer(t, s.address, ended)
	t.Cleanup(func() {
		collector.Shutdown()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

// freeAddress is one that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// awaitServer returns when the Collector takes connections.
func awaitServer(t *testing.T, address string, ended chan error) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case err := <-ended:
			t.Fatalf("the Collector has ended: %v", err)
		case <-t.Context().Done():
			t.Fatal("the Collector does not listen")
		case <-again.C:
		}
	}
}

// sink is a component of the Collector that takes spans or metrics.
type sink struct {
	component.StartFunc
	component.ShutdownFunc
	consumer.Traces
}

// metricsSink is that for metrics.
type metricsSink struct {
	component.StartFunc
	component.ShutdownFunc
	consumer.Metrics
}

// exporter makes the exporter that writes the files.
func (s *server) exporter() exporter.Factory {
	var mu sync.Mutex
	line := func(path string, text []byte, err error) error {
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.Write(append(text, '\n'))
		return err
	}
	traces := func(context.Context, exporter.Settings, component.Config) (exporter.Traces, error) {
		c, err := consumer.NewTraces(func(_ context.Context, td ptrace.Traces) error {
			text, err := (&ptrace.JSONMarshaler{}).MarshalTraces(td)
			return line(s.traces, text, err)
		})
		return &sink{Traces: c}, err
	}
	metrics := func(context.Context, exporter.Settings, component.Config) (exporter.Metrics, error) {
		c, err := consumer.NewMetrics(func(_ context.Context, md pmetric.Metrics) error {
			text, err := (&pmetric.JSONMarshaler{}).MarshalMetrics(md)
			return line(s.metrics, text, err)
		})
		return &metricsSink{Metrics: c}, err
	}
	return exporter.NewFactory(component.MustNewType("files"), func() component.Config { return &struct{}{} },
		exporter.WithTraces(traces, component.StabilityLevelStable), exporter.WithMetrics(metrics, component.StabilityLevelStable))
}

// lines are those of a file.
func lines(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// readSpans reads all spans that the Collector has written.
func (s *server) readSpans(t *testing.T) []ptrace.Span {
	t.Helper()
	var all []ptrace.Span
	for _, line := range lines(t, s.traces) {
		td, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		for _, resource := range td.ResourceSpans().All() {
			for _, scope := range resource.ScopeSpans().All() {
				for _, span := range scope.Spans().All() {
					all = append(all, span)
				}
			}
		}
	}
	return all
}

// readMetrics reads the names of all metrics that the Collector has written.
func (s *server) readMetrics(t *testing.T) map[string]pmetric.Metric {
	t.Helper()
	all := make(map[string]pmetric.Metric)
	for _, line := range lines(t, s.metrics) {
		md, err := (&pmetric.JSONUnmarshaler{}).UnmarshalMetrics([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		for _, resource := range md.ResourceMetrics().All() {
			for _, scope := range resource.ScopeMetrics().All() {
				for _, m := range scope.Metrics().All() {
					all[m.Name()] = m
				}
			}
		}
	}
	return all
}
