package prombatch

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what queues and workers do. Give it to them as a hook, to any number of them, and register it. It is safe
// for concurrent use. Its methods are for batch and Prometheus to call.
type Metrics struct {
	queues, kinds *names

	enqueues        *prometheus.CounterVec
	enqueueDuration *prometheus.HistogramVec
	outcomes        *prometheus.CounterVec
	duration        *prometheus.HistogramVec
	wait            *prometheus.HistogramVec
	deadLetters     *prometheus.CounterVec
	running         *prometheus.GaugeVec
	stuck           *prometheus.CounterVec
	leasesLost      *prometheus.CounterVec
	suspected       *prometheus.CounterVec
	faults          *prometheus.CounterVec
}

// New makes metrics. A configuration that is out of bounds is a programming error and panics; [TryNew] returns it instead.
func New(config Config) *Metrics {
	m, err := TryNew(config)
	if err != nil {
		panic(err.Error())
	}
	return m
}

// TryNew is [New], but returns mistakes as errors that wrap [batch.ErrInvalid].
func TryNew(config Config) (*Metrics, error) {
	if err := config.complete(); err != nil {
		return nil, err
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	}
	const queue, kind = "queue", "kind"
	return &Metrics{
		queues: newNames(config.MaxQueues),
		kinds:  newNames(config.MaxKinds),

		enqueues:        counter("batch_enqueues_total", "Jobs that this process enqueued, by what became of that: stored, duplicate, not_stored or unknown.", queue, kind, "result"),
		enqueueDuration: histogram("batch_enqueue_duration_seconds", "Time until the broker had confirmed or refused a job.", config.DurationBuckets, queue, kind),
		outcomes:        counter("batch_job_outcomes_total", "Deliveries of jobs whose fate was decided: done, retried, snoozed, bounced, released, dead or lost.", queue, kind, "outcome"),
		duration:        histogram("batch_job_duration_seconds", "Time that handlers ran, with middleware.", config.DurationBuckets, queue, kind, "outcome"),
		wait:            histogram("batch_job_wait_seconds", "Time from the enqueue of a job to its first start, with its delay if it had one.", config.WaitBuckets, queue, kind),
		deadLetters:     counter("batch_job_dead_letters_total", "Jobs that became dead letters by a decision of this process, by reason.", queue, kind, "reason"),
		running: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "batch_handlers_running", Help: "Handlers that run now and hold a slot.",
		}, []string{queue, kind}),
		stuck:      counter("batch_handlers_stuck_total", "Handlers that ran on for long after their context had ended, and lost their slots.", queue, kind),
		leasesLost: counter("batch_leases_lost_total", "Jobs that the broker no longer held for this process, and that may run twice.", queue, kind),
		suspected:  counter("batch_jobs_suspected_total", "Jobs that were run alone because they were lost with their workers before.", queue, kind),
		faults:     counter("batch_broker_faults_total", "Calls of workers to the broker that failed.", queue, "op"),
	}, nil
}

// all are the collectors of m.
func (m *Metrics) all() []prometheus.Collector {
	return []prometheus.Collector{
		m.enqueues, m.enqueueDuration, m.outcomes, m.duration, m.wait, m.deadLetters,
		m.running, m.stuck, m.leasesLost, m.suspected, m.faults,
	}
}

// Describe implements [prometheus.Collector].
func (m *Metrics) Describe(to chan<- *prometheus.Desc) {
	for _, c := range m.all() {
		c.Describe(to)
	}
}

// Collect implements [prometheus.Collector]. It asks nobody.
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	for _, c := range m.all() {
		c.Collect(to)
	}
}
