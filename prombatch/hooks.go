package prombatch

import (
	"context"
	"time"

	"github.com/batch-go/batch"
)

// OnEnqueueEnd implements [batch.EnqueueEndHook].
func (m *Metrics) OnEnqueueEnd(_ context.Context, e batch.EnqueueEnd) {
	queue, kind := m.queues.label(e.Queue), m.kinds.label(e.Kind)
	m.enqueues.WithLabelValues(queue, kind, resultOf(e)).Inc()
	if e.Duration > 0 {
		m.enqueueDuration.WithLabelValues(queue, kind).Observe(e.Duration.Seconds())
	}
}

// resultOf is the label for what became of an enqueue.
func resultOf(e batch.EnqueueEnd) string {
	switch {
	case e.Err == nil && e.Duplicate:
		return "duplicate"
	case e.Err == nil:
		return "stored"
	case e.Fate == batch.FateUnknown:
		return "unknown"
	}
	return "not_stored"
}

// OnJobStart implements [batch.JobStartHook].
func (m *Metrics) OnJobStart(ctx context.Context, job *batch.JobInfo) context.Context {
	queue, kind := m.queues.label(job.Queue), m.kinds.label(job.Kind)
	m.running.WithLabelValues(queue, kind).Inc()
	if isFirst(job) && !job.EnqueuedAt.IsZero() {
		// By two clocks, which may differ.
		m.wait.WithLabelValues(queue, kind).Observe(max(time.Since(job.EnqueuedAt), 0).Seconds())
	}
	return ctx
}

// isFirst tells whether a job was not handed to a handler before, as far as is known: one that a worker has put back
// because it could not run it was not.
func isFirst(job *batch.JobInfo) bool { return job.Attempt == 1 && job.Deliveries-job.Bounces <= 1 }

// OnJobEnd implements [batch.JobEndHook].
func (m *Metrics) OnJobEnd(_ context.Context, e batch.JobEnd) {
	queue, kind, outcome := m.queues.label(e.Job.Queue), m.kinds.label(e.Job.Kind), outcomeOf(e)
	m.outcomes.WithLabelValues(queue, kind, outcome).Inc()
	if e.Started {
		m.running.WithLabelValues(queue, kind).Dec()
		m.duration.WithLabelValues(queue, kind, outcome).Observe(e.Duration.Seconds())
	}
	if e.Verdict.Outcome == batch.OutcomeDead {
		m.deadLetters.WithLabelValues(queue, kind, e.Verdict.Reason).Inc()
	}
}

// outcomeOf is the label for what becomes of a job.
func outcomeOf(e batch.JobEnd) string {
	switch e.Verdict.Outcome {
	case batch.OutcomeDone:
		return "done"
	case batch.OutcomeRelease:
		return "released"
	case batch.OutcomeDead:
		return "dead"
	case batch.OutcomeRetry:
		switch {
		case !e.Started:
			return "bounced"
		case batch.OutcomeOf(e.Err).Kind == batch.ReturnSnooze:
			return "snoozed"
		}
		return "retried"
	}
	return "lost"
}

// OnJobStuck implements [batch.JobStuckHook].
func (m *Metrics) OnJobStuck(_ context.Context, job *batch.JobInfo, _ time.Duration) {
	m.stuck.WithLabelValues(m.queues.label(job.Queue), m.kinds.label(job.Kind)).Inc()
}

// OnSuspect implements [batch.SuspectHook].
func (m *Metrics) OnSuspect(_ context.Context, e batch.Suspect) {
	m.suspected.WithLabelValues(m.queues.label(e.Job.Queue), m.kinds.label(e.Job.Kind)).Inc()
}

// OnLeaseLost implements [batch.LeaseLostHook].
func (m *Metrics) OnLeaseLost(_ context.Context, e batch.LeaseLost) {
	m.leasesLost.WithLabelValues(m.queues.label(e.Job.Queue), m.kinds.label(e.Job.Kind)).Inc()
}

// OnFault implements [batch.FaultHook].
func (m *Metrics) OnFault(_ context.Context, e batch.Fault) {
	m.faults.WithLabelValues(m.queues.label(e.Queue), string(e.Op)).Inc()
}
