package prombatch

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/internal/depths"
)

// DepthConfig configures [Depths]. Only Queues is required: a field that is zero has its default. One that is out of bounds
// is refused.
type DepthConfig struct {
	// Queues are the names of the queues to ask about. Each is a label.
	Queues []string
	// Timeout is how long a scrape waits for the broker: 1 ms to a minute. Defaults to 5 s, half of what Prometheus waits
	// for a scrape.
	Timeout time.Duration
	// CacheFor is how long an answer of the broker is told again, also if it is an error: up to an hour. Defaults to 5 s.
	CacheFor time.Duration
}

// Depths tells the depths of queues. Register it. It is safe for concurrent use.
type Depths struct {
	source *depths.Source

	jobs, due, backlog, age, up *prometheus.Desc
}

// NewDepths makes a collector. It does not talk to the broker before it is scraped. A configuration that is out of bounds
// is a programming error and panics; [TryNewDepths] returns it instead.
func NewDepths(d batch.Driver, config DepthConfig) *Depths {
	c, err := TryNewDepths(d, config)
	if err != nil {
		panic(err.Error())
	}
	return c
}

// TryNewDepths is [NewDepths], but returns mistakes as errors that wrap [batch.ErrInvalid].
func TryNewDepths(d batch.Driver, config DepthConfig) (*Depths, error) {
	if config.Timeout == 0 {
		config.Timeout = 5 * time.Second
	}
	if config.CacheFor == 0 {
		config.CacheFor = 5 * time.Second
	}
	source, err := depths.New(d, config.Queues, config.Timeout, config.CacheFor)
	if err != nil {
		return nil, err
	}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, append([]string{"queue"}, labels...), nil)
	}
	return &Depths{
		source:  source,
		jobs:    desc("batch_queue_jobs", "Jobs of a queue by state: waiting, scheduled, running and dead. Absent if the broker cannot tell.", "state"),
		due:     desc("batch_queue_due_jobs", "Scheduled jobs whose time has come, and that wait for a worker to look for them. Absent if the broker cannot tell."),
		backlog: desc("batch_queue_backlog_jobs", "Jobs that need a worker to take them: those that wait, and those that are due, of which an unknown number counts as one."),
		age:     desc("batch_queue_oldest_waiting_seconds", "How long the oldest of the jobs that wait has waited. Absent if the broker cannot tell."),
		up:      desc("batch_queue_up", "Whether the broker told the depth of the queue when it was last asked."),
	}, nil
}

// Describe implements [prometheus.Collector].
func (c *Depths) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.jobs, c.due, c.backlog, c.age, c.up} {
		to <- d
	}
}

// Collect implements [prometheus.Collector]. It waits for the broker for Timeout at most.
func (c *Depths) Collect(to chan<- prometheus.Metric) {
	for _, q := range c.source.Read(context.Background()) {
		gauge := func(d *prometheus.Desc, value float64, labels ...string) {
			if value >= 0 { // else it is unknown
				to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, append([]string{q.Name}, labels...)...)
			}
		}
		up := 1.0
		if q.Err != nil {
			up = 0
		}
		gauge(c.up, up)
		gauge(c.jobs, float64(q.Depth.Waiting), "waiting")
		gauge(c.jobs, float64(q.Depth.Scheduled), "scheduled")
		gauge(c.jobs, float64(q.Depth.Running), "running")
		gauge(c.jobs, float64(q.Depth.Dead), "dead")
		gauge(c.due, float64(q.Depth.Due))
		gauge(c.backlog, float64(q.Backlog()))
		gauge(c.age, q.Depth.Age.Seconds())
	}
}
