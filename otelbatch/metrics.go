package otelbatch

import (
	"errors"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/messagingconv"
)

// metrics are the instruments of a hook, and the sets of attributes that it measures with.
type metrics struct {
	config Config
	meter  metric.Meter

	sent, consumed                         metric.Int64Counter
	operation, process, wait               metric.Float64Histogram
	outcomes, lost, stuck, suspects, fault metric.Int64Counter

	mu sync.RWMutex // guards following
	// sets are those that were needed before, so that a measurement allocates nothing.
	sets map[labels]*labelled
	// kinds and errorTypes are those that have been seen.
	kinds, errorTypes map[string]struct{}
}

// durations are the boundaries of the histograms of the conventions, in seconds, as those
// want them.
var durations = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

// waits are those of the time that a job waits, which may be days.
var waits = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400}

// newMetrics makes the instruments.
func newMetrics(config Config) (*metrics, error) {
	m := &metrics{config: config, sets: make(map[labels]*labelled), kinds: make(map[string]struct{}), errorTypes: make(map[string]struct{})}
	m.meter = config.MeterProvider.Meter(Scope, metric.WithInstrumentationVersion(version()), metric.WithSchemaURL(semconv.SchemaURL))
	sent, err1 := messagingconv.NewClientSentMessages(m.meter)
	consumed, err2 := messagingconv.NewClientConsumedMessages(m.meter)
	operation, err3 := messagingconv.NewClientOperationDuration(m.meter, metric.WithExplicitBucketBoundaries(durations...))
	process, err4 := messagingconv.NewProcessDuration(m.meter, metric.WithExplicitBucketBoundaries(durations...))
	m.sent, m.consumed, m.operation, m.process = sent.Inst(), consumed.Inst(), operation.Inst(), process.Inst()
	errs := []error{err1, err2, err3, err4}
	counter := func(name, unit, description string) metric.Int64Counter {
		c, err := m.meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
		errs = append(errs, err)
		return c
	}
	m.outcomes = counter("batch.job.outcomes", "{job}", "Number of deliveries of jobs, by what became of them.")
	m.lost = counter("batch.lease.lost", "{job}", "Number of jobs that the broker no longer held for the worker. They may run twice.")
	m.stuck = counter("batch.handler.stuck", "{handler}", "Number of handlers that were left behind because they did not return.")
	m.suspects = counter("batch.job.suspects", "{job}", "Number of jobs that were run alone because they may be what kills workers.")
	m.fault = counter("batch.broker.faults", "{call}", "Number of a worker's calls to the broker that failed.")
	wait, err := m.meter.Float64Histogram("batch.job.wait.duration", metric.WithUnit("s"), metric.WithExplicitBucketBoundaries(waits...),
		metric.WithDescription("Time from the enqueue of a job to the start of its first run, with the delay that it was enqueued with."))
	m.wait = wait
	return m, errors.Join(append(errs, err)...)
}

// labels are what the attributes of a measurement are made of. What is empty is none.
type labels struct {
	operation, operationType, queue, kind, errorType, outcome, reason, started string
}

// labelled is a set of attributes, as options.
type labelled struct {
	add    []metric.AddOption
	record []metric.RecordOption
}

const (
	// mostSets is how many sets are kept. More are made anew each time.
	mostSets = 10_000
	// mostWords is how many kinds there are as attributes, and how many types of errors. Kinds
	// come from the broker, and a producer could make new ones without end.
	mostWords = 500
)

// labelled returns the options with the attributes of a measurement.
func (m *metrics) labelled(key labels) *labelled {
	m.mu.RLock()
	set := m.sets[key]
	m.mu.RUnlock()
	if set != nil {
		return set
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key.kind, key.errorType = word(m.kinds, key.kind), word(m.errorTypes, key.errorType)
	if set = m.sets[key]; set != nil {
		return set
	}
	option := metric.WithAttributeSet(attribute.NewSet(m.attributes(key)...))
	set = &labelled{add: []metric.AddOption{option}, record: []metric.RecordOption{option}}
	if len(m.sets) < mostSets {
		m.sets[key] = set
	}
	return set
}

// word returns a word if it is one of those that have been seen, or if there is room for it
// among them.
func word(seen map[string]struct{}, s string) string {
	s = clean(s, mostWord) // a kind may be any bytes that another program has written
	if _, ok := seen[s]; ok || s == "" {
		return s
	}
	if len(seen) >= mostWords {
		return other
	}
	seen[s] = struct{}{}
	return s
}

// attributes are those of a measurement.
func (m *metrics) attributes(key labels) []attribute.KeyValue {
	all := []attribute.KeyValue{semconv.MessagingSystemKey.String(m.config.System)}
	for _, a := range []struct {
		key   attribute.Key
		value string
	}{
		{semconv.MessagingDestinationNameKey, key.queue},
		{semconv.MessagingOperationNameKey, key.operation},
		{semconv.MessagingOperationTypeKey, key.operationType},
		{semconv.ErrorTypeKey, key.errorType},
		{keyKind, key.kind},
		{keyOutcome, key.outcome},
		{keyReason, key.reason},
		{keyStarted, key.started},
	} {
		if a.value != "" {
			all = append(all, a.key.String(a.value))
		}
	}
	return append(all, m.config.Attributes...)
}
