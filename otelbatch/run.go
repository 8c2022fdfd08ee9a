package otelbatch

import (
	"context"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/batch-go/batch"
)

// run is one of a job's handler, from its start to its end. It is the context of the rest
// of it, in which the other events find it.
type run struct {
	context.Context
	hook  *Hook
	job   *batch.JobInfo
	start time.Time
	span  trace.Span
	ended bool
}

// runKey is the key of the run in its context. Each hook has its own.
type runKey struct{ hook *Hook }

// Value finds the run.
func (r *run) Value(key any) any {
	if key == any(runKey{r.hook}) {
		return r
	}
	return r.Context.Value(key)
}

// runOf finds the run of a job in a context. It is nil if there is none: a worker that was
// started in a handler has the run of that in the contexts of its jobs.
func (h *Hook) runOf(ctx context.Context, job *batch.JobInfo) *run {
	if r, ok := ctx.Value(runKey{h}).(*run); ok && r.job == job {
		return r
	}
	return nil
}

// OnJobStart starts the span of a run. See [batch.JobStartHook].
func (h *Hook) OnJobStart(ctx context.Context, job *batch.JobInfo) context.Context {
	if h.runOf(ctx, job) != nil {
		return nil // this hook was given twice
	}
	r := &run{hook: h, job: job, start: time.Now()}
	h.measureStart(ctx, r) // before there is a span, which a panic of the meter would leave open
	inner, creation := h.extract(ctx, job.Headers)
	attributes := append(h.attributes(job.Queue, opProcess, semconv.MessagingOperationTypeProcess, 6),
		messageID(job.ID), kindOf(job.Kind),
		keyAttempt.Int(job.Attempt), keyMaxAttempts.Int(job.MaxAttempts), keyDeliveries.Int(job.Deliveries))
	if h.config.BodySize {
		attributes = append(attributes, semconv.MessagingMessageBodySize(len(job.Body)))
	}
	options := [4]trace.SpanStartOption{kindConsumer, trace.WithAttributes(attributes...)}
	n := 2
	if creation.IsValid() {
		options[n] = linkTo(creation)
		n++
	}
	if !h.config.ParentFirstRun || !isFirst(job) {
		options[n] = newRoot
		n++
	}
	r.Context, r.span = h.tracer.Start(inner, h.names(job.Queue).process, options[:n]...)
	return r
}

// isFirst tells whether a job was not handed to a handler before, as far as is known: one
// that a worker has put back because it could not run it was not.
func isFirst(job *batch.JobInfo) bool { return job.Attempt == 1 && job.Deliveries-job.Bounces <= 1 }

// measureStart counts a job that is handed to its handler.
func (h *Hook) measureStart(ctx context.Context, r *run) {
	job := r.job
	key := labels{operation: opProcess, queue: job.Queue, kind: job.Kind}
	h.metrics.consumed.Add(ctx, 1, h.metrics.labelled(key).add...)
	if isFirst(job) && !job.EnqueuedAt.IsZero() {
		key = labels{queue: job.Queue, kind: job.Kind}
		h.metrics.wait.Record(ctx, max(r.start.Sub(job.EnqueuedAt), 0).Seconds(), h.metrics.labelled(key).record...)
	}
}

// OnJobEnd ends the span of a run and measures. See [batch.JobEndHook].
func (h *Hook) OnJobEnd(ctx context.Context, e batch.JobEnd) {
	r := h.runOf(ctx, e.Job)
	if r != nil {
		if r.ended {
			return
		}
		r.ended = true
		defer r.span.End() // whatever the methods of the error do
	}
	end := endingOf(&e)
	key := labels{queue: e.Job.Queue, kind: e.Job.Kind, outcome: end.outcome, reason: end.reason}
	h.metrics.outcomes.Add(ctx, 1, h.metrics.labelled(key).add...)
	switch {
	case !e.Started && end.outcome == "dead":
		h.bury(ctx, &e, end)
	case e.Started:
		took := e.Duration
		if r != nil {
			took = time.Since(r.start) // as long as the span
		}
		key = labels{operation: opProcess, queue: e.Job.Queue, kind: e.Job.Kind, errorType: end.errorType}
		h.metrics.process.Record(ctx, took.Seconds(), h.metrics.labelled(key).record...)
	}
	if r != nil && r.span.IsRecording() {
		r.span.SetAttributes(h.ending(&e, end)...)
		if end.errorType != "" {
			setError(r.span, e.Err)
		}
	}
}

// ending are the attributes of a span that say what became of a job.
func (h *Hook) ending(e *batch.JobEnd, end ending) []attribute.KeyValue {
	all := append(make([]attribute.KeyValue, 0, 4), keyOutcome.String(end.outcome))
	if end.reason != "" {
		all = append(all, keyReason.String(end.reason))
	}
	if e.Verdict.Outcome == batch.OutcomeRetry {
		all = append(all, keyRetryDelay.Float64(e.Verdict.Delay.Seconds()))
	}
	if end.errorType != "" {
		all = append(all, semconv.ErrorTypeKey.String(end.errorType))
	}
	return all
}

// bury makes a span for a job that becomes a dead letter without ever having run this time:
// its trace would otherwise say nothing of that. No time passes in it.
func (h *Hook) bury(ctx context.Context, e *batch.JobEnd, end ending) {
	job := e.Job
	ctx, creation := h.extract(ctx, job.Headers)
	attributes := append(h.attributes(job.Queue, opDeadLetter, semconv.MessagingOperationTypeSettle, 8),
		messageID(job.ID), kindOf(job.Kind), keyAttempt.Int(job.Attempt), keyDeliveries.Int(job.Deliveries))
	attributes = append(attributes, h.ending(e, end)...)
	_, span := h.tracer.Start(ctx, h.names(job.Queue).bury, newRoot, kindClient,
		trace.WithAttributes(attributes...), linkTo(creation))
	defer span.End()
	setError(span, e.Err)
}

// OnJobStuck notes it in the span of the run, which OnJobEnd then ends, and counts it. See
// [batch.JobStuckHook].
func (h *Hook) OnJobStuck(ctx context.Context, job *batch.JobInfo, overdue time.Duration) {
	h.metrics.stuck.Add(ctx, 1, h.metrics.labelled(labels{queue: job.Queue, kind: job.Kind}).add...)
	if r := h.runOf(ctx, job); r != nil {
		r.span.AddEvent("batch.handler.stuck", trace.WithAttributes(keyOverdue.Float64(overdue.Seconds())))
	}
}

// OnLeaseLost notes it in the span of the run, if there is one, and counts it. See
// [batch.LeaseLostHook].
func (h *Hook) OnLeaseLost(ctx context.Context, e batch.LeaseLost) {
	h.metrics.lost.Add(ctx, 1, h.metrics.labelled(labels{queue: e.Job.Queue, kind: e.Job.Kind, started: strconv.FormatBool(e.Started)}).add...)
	if r := h.runOf(ctx, e.Job); r != nil {
		r.span.AddEvent("batch.lease.lost")
	}
}

// OnSuspect counts it. See [batch.SuspectHook].
func (h *Hook) OnSuspect(ctx context.Context, e batch.Suspect) {
	h.metrics.suspects.Add(ctx, 1, h.metrics.labelled(labels{queue: e.Job.Queue, kind: e.Job.Kind}).add...)
}
