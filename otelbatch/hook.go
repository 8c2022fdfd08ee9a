package otelbatch

import (
	"errors"
	"reflect"
	"sync"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/batch-go/batch"
)

// Hook is a [batch.Hook] that makes spans and metrics. Give it to the queues of a driver
// with [batch.WithHooks], and to its workers in WorkerConfig.Hooks, as the first hook, so
// that the contexts of the others have the spans. It is safe for concurrent use, and need
// not be closed. What is collected is sent by the providers, which the program that made
// them has to shut down after its workers.
type Hook struct {
	driver  batch.Driver
	config  Config
	tracer  trace.Tracer
	metrics *metrics
	// fields are the headers by which a job has a trace context.
	fields []string
	// maxHeaders is how many bytes of headers a job may have on the driver.
	maxHeaders int

	mu sync.RWMutex // guards following
	// queues are the names of spans, by queue.
	queues map[string]*names
}

// names are what the spans of a queue are called.
type names struct{ create, send, process, bury string }

// New makes a hook for the queues and the workers of a driver. It does not talk to the
// broker. The error wraps [batch.ErrInvalid] if the driver is nil or a setting is out of
// its bounds, and is otherwise the meter provider's.
func New(d batch.Driver, config Config) (*Hook, error) {
	if v := reflect.ValueOf(d); d == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, invalid("driver", "nil", "an open driver")
	}
	info := d.Info()
	if err := config.complete(info); err != nil {
		return nil, err
	}
	h := &Hook{
		driver: d, config: config, maxHeaders: info.Limits.MaxHeaders, fields: traceFields(config.Propagator), queues: make(map[string]*names),
		tracer: config.TracerProvider.Tracer(Scope, trace.WithInstrumentationVersion(version()), trace.WithSchemaURL(semconv.SchemaURL)),
	}
	var err error
	if h.metrics, err = newMetrics(config); err != nil {
		return nil, errors.Join(errors.New("otelbatch: making the instruments"), err)
	}
	return h, nil
}
