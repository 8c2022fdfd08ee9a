package otelbatch

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/internal/depths"
)

// gauges are the instruments that tell how many jobs queues have.
type gauges struct {
	hook   *Hook
	source *depths.Source

	jobs, due metric.Int64ObservableGauge
	age       metric.Float64ObservableGauge
}

// ObserveDepth reports how many jobs the queues have, whenever metrics are collected, until
// stop is called: batch.queue.depth, batch.queue.due and batch.queue.age. What a broker
// cannot tell, and what it does not tell within Config.DepthTimeout, is absent, and so is a
// queue that does not exist. The reader gets an error of the broker, once for all queues.
//
// The numbers are those of the queue and not of the process, so call it in one process of
// a service. It costs a request for each queue and collection; a few run at the same time.
// Collections at the same time share them, and none begins while those of an earlier one are
// still under way.
//
// The error wraps [batch.ErrInvalid] if there is no name, one is not that of a queue, or one
// is there twice, and is otherwise the meter's.
func (h *Hook) ObserveDepth(queues ...string) (stop func() error, err error) {
	source, err := depths.New(h.driver, queues, h.config.DepthTimeout, 0)
	if err != nil {
		return nil, err
	}
	d := &gauges{hook: h, source: source}
	meter := h.metrics.meter
	var err1, err2, err3 error
	d.jobs, err1 = meter.Int64ObservableGauge("batch.queue.depth", metric.WithUnit("{job}"),
		metric.WithDescription("Number of jobs of a queue, by state."))
	d.due, err2 = meter.Int64ObservableGauge("batch.queue.due", metric.WithUnit("{job}"),
		metric.WithDescription("Number of scheduled jobs that only wait for a worker to take them."))
	d.age, err3 = meter.Float64ObservableGauge("batch.queue.age", metric.WithUnit("s"),
		metric.WithDescription("How long the oldest of the waiting jobs has waited."))
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	registration, err := meter.RegisterCallback(d.observe, d.jobs, d.due, d.age)
	if err != nil {
		return nil, err
	}
	return registration.Unregister, nil
}

// observe asks the broker and reports what it says.
func (d *gauges) observe(ctx context.Context, o metric.Observer) error {
	answers := d.source.Read(ctx)
	failed, first := 0, error(nil)
	for _, q := range answers {
		switch {
		case q.Err == nil:
			d.report(o, q.Name, q.Depth)
		case errors.Is(q.Err, batch.ErrNotFound):
		default:
			if failed++; first == nil {
				first = q.Err
			}
		}
	}
	if first != nil {
		return fmt.Errorf("otelbatch: no depth of %d of %d queues: %w", failed, len(answers), first)
	}
	return nil
}

// report reports what is known of one queue.
func (d *gauges) report(o metric.Observer, queue string, depth batch.Depth) {
	all := append([]attribute.KeyValue{
		semconv.MessagingSystemKey.String(d.hook.config.System), semconv.MessagingDestinationName(queue),
	}, d.hook.config.Attributes...)
	for _, s := range []struct {
		state string
		count int64
	}{
		{"waiting", depth.Waiting}, {"scheduled", depth.Scheduled}, {"running", depth.Running}, {"dead", depth.Dead},
	} {
		if s.count >= 0 {
			o.ObserveInt64(d.jobs, s.count, metric.WithAttributes(append(all[:len(all):len(all)], keyState.String(s.state))...))
		}
	}
	if depth.Due >= 0 {
		o.ObserveInt64(d.due, depth.Due, metric.WithAttributes(all...))
	}
	if depth.Age >= 0 {
		o.ObserveFloat64(d.age, depth.Age.Seconds(), metric.WithAttributes(all...))
	}
}
