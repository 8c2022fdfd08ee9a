package otelbatch

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// Config is what a [Hook] is made with. The zero value is what most programs want.
type Config struct {
	// TracerProvider makes the spans, and MeterProvider the instruments. They default
	// to the global ones, otel.GetTracerProvider() and otel.GetMeterProvider(), also if
	// those are set later. To have no spans or no metrics, use the providers of
	// go.opentelemetry.io/otel/trace/noop and go.opentelemetry.io/otel/metric/noop.
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider

	// Propagator writes the context of an enqueue into the headers of the job, and reads
	// it when the job runs. Defaults to propagation.TraceContext{}, whatever the global
	// propagator is: that one does nothing unless the program sets it, and may store
	// baggage with each job, which anyone who can read the broker then reads. Set
	// otel.GetTextMapPropagator() to use it nevertheless. Its fields have to be names that
	// a header of a job can have. A job that has one of them, other than baggage, keeps
	// what it has: its producer has given it a context.
	Propagator propagation.TextMapPropagator

	// System is the attribute messaging.system: 1 to 64 bytes of [a-z0-9_.]. Defaults to
	// what [System] says of the driver.
	System string
	// Attributes are added to every span and every measurement, server.address for
	// example. Their keys must not begin with "messaging.", "batch." or "error.".
	Attributes []attribute.KeyValue

	// ParentFirstRun makes the span of a job's first run a child of its enqueue's, in the
	// same trace, in addition to the link. All other runs have a trace of their own: they
	// may come days later, and a trace that is not complete for days is of no use.
	ParentFirstRun bool
	// CallSpans adds a span for each call to the broker that stores or settles jobs or
	// administers a queue. The spans of enqueues are "create" spans then, and that of the
	// call, which may be about many jobs, is the "send" span. Calls that receive jobs have
	// none, as they are prefetched: the conventions forbid it.
	CallSpans bool
	// BodySize adds the size of the body to the spans of enqueues and runs.
	BodySize bool

	// DepthTimeout bounds how long one collection of metrics asks for the depth of the
	// queues of [Hook.ObserveDepth]: 1 ms to a minute. Defaults to 5 s.
	DepthTimeout time.Duration
}

// complete sets the defaults and checks the bounds.
func (c *Config) complete(info driver.Info) error {
	if c.TracerProvider == nil {
		c.TracerProvider = otel.GetTracerProvider()
	}
	if c.MeterProvider == nil {
		c.MeterProvider = otel.GetMeterProvider()
	}
	if c.Propagator == nil {
		c.Propagator = propagation.TraceContext{}
	}
	if err := checkFields(c.Propagator); err != nil {
		return err
	}
	if c.System == "" {
		c.System = System(info)
	} else if !isSystem(c.System) {
		return invalid("System", fmt.Sprintf("%.80q", c.System), "1 to 64 bytes of [a-z0-9_.]")
	}
	if c.DepthTimeout == 0 {
		c.DepthTimeout = 5 * time.Second
	}
	if c.DepthTimeout < time.Millisecond || c.DepthTimeout > time.Minute {
		return invalid("DepthTimeout", c.DepthTimeout.String(), "1ms to 1m")
	}
	c.Attributes = slices.Clone(c.Attributes)
	for _, a := range c.Attributes {
		if !a.Valid() {
			return invalid("attribute", fmt.Sprintf("%.80q", a.Key), "one with a key and a value")
		}
		for _, own := range []string{"messaging.", "batch.", "error."} {
			if strings.HasPrefix(string(a.Key), own) {
				return invalid("attribute", fmt.Sprintf("%.80q", a.Key), "a key that does not begin with "+own)
			}
		}
	}
	return nil
}

// mostHeaders is how many headers a job may have, and mostHeaderName how long the name of
// one may be: batch.Header documents both.
const (
	mostHeaders    = 100
	mostHeaderName = 64
)

// baggageField is the header of the W3C baggage, which is no part of a trace context.
const baggageField = "baggage"

// traceFields are the headers that a propagator keeps a trace context in.
func traceFields(p propagation.TextMapPropagator) []string {
	return slices.DeleteFunc(slices.Clone(p.Fields()), func(name string) bool { return name == baggageField })
}

// checkFields refuses a propagator whose fields no job can have as headers.
func checkFields(p propagation.TextMapPropagator) error {
	for _, name := range p.Fields() {
		if !isHeader(name) {
			return invalid("Propagator", fmt.Sprintf("with the field %.80q", name), "one whose fields are names of headers, of 1 to 64 bytes of [A-Za-z0-9_.-] that do not begin with batch-")
		}
	}
	return nil
}

// isHeader tells whether a job can have a header of this name.
func isHeader(name string) bool {
	ok := name != "" && len(name) <= mostHeaderName && !strings.HasPrefix(strings.ToLower(name), "batch-")
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-'
	}
	return ok
}

// invalid is the error for a value that is out of bounds.
func invalid(field, value, bound string) error {
	return &batch.InvalidError{Field: "otelbatch " + field, Value: value, Bound: bound}
}
