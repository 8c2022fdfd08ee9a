// Package schedule is the part of the service that enqueues jobs by the clock.
package schedule

import (
	"log/slog"
	"time"
	_ "time/tzdata" // an image without an operating system has no time zones

	"github.com/prometheus/client_golang/prometheus"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/cron"
	"github.com/batch-go/batch/examples/service/jobs"
)

// Config is what the scheduler needs.
type Config struct {
	Broker jobs.Broker
	Hooks  []batch.Hook
	Log    *slog.Logger
	// Metrics is where its events are counted.
	Metrics prometheus.Registerer
}

// New makes the scheduler. Any number of processes may run it: each tick is one job.
func New(c Config) (*cron.Scheduler[jobs.Broker], error) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		return nil, err
	}
	events := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cron_events_total", Help: "What schedulers did. Watch skipped and doubtful.",
	}, []string{"schedule", "event"})
	if err := c.Metrics.Register(events); err != nil {
		return nil, err
	}
	reports := batch.NewQueue(c.Broker, jobs.Reports, batch.WithHooks(c.Hooks...))
	daily := cron.NewEntry(reports, "digest", cron.Expr("0 7 * * *").In(berlin), jobs.Digest{Team: "sales"})
	daily.Missed = cron.Last(6 * time.Hour) // a digest at noon is better than none
	return cron.TryNew(reports, cron.Fixed(daily), cron.WithLog(c.Log), cron.WithObserver(func(e cron.Event) {
		events.WithLabelValues(e.Schedule, e.Kind.String()).Inc()
	}))
}
