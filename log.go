package batch

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Log is a hook that writes to logger. At level error it logs dead letters, panics
// and stuck handlers; at warn failures that will be retried, lost leases and failed
// calls to the broker; at info the states of the worker; and at debug each job that
// started or is done. A nil logger means slog.Default(). Bodies and headers are not
// logged, as they may hold data that must not be in a log.
func Log(logger *slog.Logger) Hook {
	if logger == nil {
		logger = slog.Default()
	}
	return &logHook{logger}
}

// logHook is the hook that Log returns.
type logHook struct{ logger *slog.Logger }

// jobAttrs are the attributes by which a job is known in the log.
func jobAttrs(job *JobInfo, more ...slog.Attr) []slog.Attr {
	return append([]slog.Attr{
		slog.String("queue", job.Queue), slog.String("kind", job.Kind), slog.String("id", job.ID),
		slog.Int("attempt", job.Attempt), slog.Int("max_attempts", job.MaxAttempts),
	}, more...)
}

// OnJobStart logs at debug.
func (h *logHook) OnJobStart(ctx context.Context, job *JobInfo) {
	if h.logger.Enabled(ctx, slog.LevelDebug) {
		h.logger.LogAttrs(ctx, slog.LevelDebug, "job started", jobAttrs(job)...)
	}
}

// OnJobEnd logs at a level that depends on the verdict.
func (h *logHook) OnJobEnd(ctx context.Context, e JobEnd) {
	level, message := h.classify(e)
	if !h.logger.Enabled(ctx, level) {
		return
	}
	attrs := jobAttrs(e.Job, slog.Duration("duration", e.Duration))
	if e.Err != nil {
		attrs = append(attrs, slog.String("error", e.Err.Error()))
	}
	if e.Verdict.Outcome == OutcomeRetry {
		attrs = append(attrs, slog.Duration("retry_in", e.Verdict.Delay))
		if e.Verdict.Capped {
			attrs = append(attrs, slog.Bool("delay_capped_by_driver", true))
		}
	}
	if e.Verdict.Outcome == OutcomeDead {
		attrs = append(attrs, slog.String("reason", e.Verdict.Reason))
	}
	if stack := stackOf(e.Err); stack != nil {
		attrs = append(attrs, slog.String("stack", string(stack)))
	}
	h.logger.LogAttrs(ctx, level, message, attrs...)
}

// classify returns the level and the message for a verdict.
func (h *logHook) classify(e JobEnd) (slog.Level, string) {
	switch e.Verdict.Outcome {
	case OutcomeDone:
		return slog.LevelDebug, "job done"
	case OutcomeDead:
		return slog.LevelError, "job dead-lettered"
	case OutcomeRelease:
		return slog.LevelInfo, "job given back"
	case OutcomeRetry:
		switch {
		case stackOf(e.Err) != nil:
			return slog.LevelError, "job panicked, will be retried"
		case e.Started && e.Verdict.Failures < e.Job.Attempt:
			return slog.LevelDebug, "job snoozed"
		case !e.Started:
			return slog.LevelWarn, "job put back: this worker cannot run it"
		}
		return slog.LevelWarn, "job failed, will be retried"
	}
	return slog.LevelWarn, "job ended without its lease"
}

// stackOf is the stack of a panic, or nil.
func stackOf(err error) []byte {
	var panicked *PanicError
	if errors.As(err, &panicked) {
		return panicked.Stack
	}
	return nil
}

// OnJobStuck logs at error.
func (h *logHook) OnJobStuck(ctx context.Context, job *JobInfo, overdue time.Duration) {
	h.logger.LogAttrs(ctx, slog.LevelError, "handler is stuck, its slot is given to another job", jobAttrs(job, slog.Duration("overdue", overdue))...)
}

// OnLeaseLost logs at warn.
func (h *logHook) OnLeaseLost(ctx context.Context, job *JobInfo) {
	h.logger.LogAttrs(ctx, slog.LevelWarn, "lease lost, the job may run a second time", jobAttrs(job)...)
}

// OnFault logs at warn.
func (h *logHook) OnFault(ctx context.Context, e Fault) {
	h.logger.LogAttrs(ctx, slog.LevelWarn, "broker call failed",
		slog.String("queue", e.Queue), slog.String("op", e.Op), slog.String("error", e.Err.Error()), slog.Duration("retry_in", e.RetryIn))
}

// OnWorkerState logs at info.
func (h *logHook) OnWorkerState(ctx context.Context, state WorkerState) {
	h.logger.LogAttrs(ctx, slog.LevelInfo, "worker "+state.String())
}
