package batch

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
)

// workerLog is the hook by which a worker writes to WorkerConfig.Log. Bodies and
// headers are not logged, as they may hold data that must not be in a log.
type workerLog struct {
	logger *slog.Logger
	outage *outage

	mu sync.Mutex // guards following
	// faults has the calls that failed while the broker could be reached.
	faults map[source]*repeated
	// dropped counts the jobs by queue whose leases were lost before they started, and
	// gaveUp those that could not be settled, with the last error, until timer logs them.
	dropped map[string]int
	gaveUp  map[string]Fault
	timer   *time.Timer
}

// repeated is a line of the log that is not written each time.
type repeated struct {
	last  time.Time // when it was written
	since int       // how often it was not, since then
}

// gatherFor is how long lost leases and jobs that could not be settled are counted before
// they are logged: those of one connection are lost together.
const gatherFor = time.Second

// newWorkerLog makes the log of a worker on a driver. It is nil if logger discards
// everything.
func newWorkerLog(logger *slog.Logger, d driver.Driver) *workerLog {
	if logger == nil {
		logger = slog.Default()
	}
	if logger.Handler() == slog.DiscardHandler {
		return nil
	}
	return &workerLog{
		logger: logger, outage: newOutage(d, logger),
		faults: make(map[source]*repeated), dropped: make(map[string]int), gaveUp: make(map[string]Fault),
	}
}

// close writes what is left to write, and ends what the log does by itself.
func (l *workerLog) close() {
	l.outage.close()
	l.mu.Lock()
	timer := l.timer
	l.mu.Unlock()
	if timer != nil && timer.Stop() {
		aside(l.logger, "Handle", l.logger.Handler(), l.logGathered)
	}
}

// jobAttrs are the attributes by which a job is known in the log.
func jobAttrs(job *JobInfo, more ...slog.Attr) []slog.Attr {
	return append([]slog.Attr{
		slog.String("queue", job.Queue), slog.String("kind", job.Kind), slog.String("id", job.ID),
		slog.Int("attempt", job.Attempt), slog.Int("max_attempts", job.MaxAttempts),
	}, more...)
}

// OnJobStart logs at debug.
func (l *workerLog) OnJobStart(ctx context.Context, job *JobInfo) context.Context {
	if l.logger.Enabled(ctx, slog.LevelDebug) {
		l.logger.LogAttrs(ctx, slog.LevelDebug, "job started", jobAttrs(job)...)
	}
	return ctx
}

// OnJobEnd logs at a level that depends on the verdict.
func (l *workerLog) OnJobEnd(ctx context.Context, e JobEnd) {
	level, message := classify(&e)
	if !l.logger.Enabled(ctx, level) {
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
	if n := e.Verdict.Bounces; n > 0 {
		attrs = append(attrs, slog.Int("bounces", n))
	}
	if stack := stackOf(e.Err); stack != nil {
		attrs = append(attrs, slog.String("stack", string(stack)))
	}
	l.logger.LogAttrs(ctx, level, message, attrs...)
}

// classify returns the level and the message for a verdict. What may happen to every
// job that a worker holds is not above debug: the line of the worker counts it.
func classify(e *JobEnd) (slog.Level, string) {
	switch e.Verdict.Outcome {
	case OutcomeDone:
		return slog.LevelDebug, "job done"
	case OutcomeDead:
		return slog.LevelError, "job dead-lettered"
	case OutcomeRelease:
		if e.Started {
			return slog.LevelInfo, "job cancelled and given back"
		}
		return slog.LevelDebug, "job given back"
	case OutcomeRetry:
		switch {
		case stackOf(e.Err) != nil:
			return slog.LevelError, "job panicked, will be retried"
		case !e.Started && e.Verdict.Bounces > 1: // the first time was a warning
			return slog.LevelDebug, "job put back: this worker cannot run it"
		case !e.Started:
			return slog.LevelWarn, "job put back: this worker cannot run it"
		case OutcomeOf(e.Err).Kind == ReturnSnooze:
			return slog.LevelDebug, "job snoozed"
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
func (l *workerLog) OnJobStuck(ctx context.Context, job *JobInfo, overdue time.Duration) {
	l.logger.LogAttrs(ctx, slog.LevelError, "handler is stuck, its slot is given to another job", jobAttrs(job, slog.Duration("overdue", overdue))...)
}

// OnSuspect logs at warn.
func (l *workerLog) OnSuspect(ctx context.Context, e Suspect) {
	l.logger.LogAttrs(ctx, slog.LevelWarn, "job was lost with its workers and runs alone, the others wait", jobAttrs(e.Job, slog.Int("redeliveries", e.Redeliveries))...)
}

// OnLeaseLost logs at warn a job that was started, and counts one that was not.
func (l *workerLog) OnLeaseLost(ctx context.Context, e LeaseLost) {
	if e.Started {
		l.logger.LogAttrs(ctx, slog.LevelWarn, "lease lost, the job may run a second time", jobAttrs(e.Job)...)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gather()
	l.dropped[e.Job.Queue]++
}

// gather sees to it that what is counted from now on is logged. l.mu must be held.
func (l *workerLog) gather() {
	if len(l.dropped)+len(l.gaveUp) == 0 {
		l.timer = time.AfterFunc(gatherFor, func() { aside(l.logger, "Handle", l.logger.Handler(), l.logGathered) })
	}
}

// logGathered logs how many jobs lost their leases before they started, and how many
// could not be settled.
func (l *workerLog) logGathered() {
	l.mu.Lock()
	dropped, gaveUp := l.dropped, l.gaveUp
	l.dropped, l.gaveUp = make(map[string]int), make(map[string]Fault)
	l.mu.Unlock()
	for queue, n := range dropped {
		l.logger.LogAttrs(context.Background(), slog.LevelWarn, "leases lost of jobs that had not started, another worker gets them", slog.String("queue", queue), slog.Int("jobs", n))
	}
	for queue, f := range gaveUp {
		l.logger.LogAttrs(context.Background(), slog.LevelWarn, "gave up settling jobs, they may run a second time",
			slog.String("queue", queue), slog.Int("jobs", f.Jobs), slog.String("error", f.Err.Error()))
	}
}

// logRemedy logs what becomes of a job that is too large for the broker with its history.
// It is at error if that is the job's end, or costs it a part.
func (l *workerLog) logRemedy(ctx context.Context, f Fault) {
	level := slog.LevelError
	if f.Remedy == RemedyShorten {
		level = slog.LevelWarn
	}
	l.logger.LogAttrs(ctx, level, "job is too large for the broker with its history",
		jobAttrs(f.Job, slog.String("remedy", string(f.Remedy)), slog.String("error", f.Err.Error()))...)
}

// OnFault logs at warn. If the broker cannot be reached, that is a matter of the
// worker and not of each call. Otherwise a kind of call is logged every 30 seconds.
func (l *workerLog) OnFault(ctx context.Context, f Fault) {
	if f.Remedy != "" {
		l.logRemedy(ctx, f)
		return
	}
	if f.Op == OpSettle && f.RetryIn == 0 {
		l.mu.Lock()
		l.gather()
		l.gaveUp[f.Queue] = Fault{Jobs: l.gaveUp[f.Queue].Jobs + f.Jobs, Err: f.Err}
		l.mu.Unlock()
	}
	if unreachable(f.Err) {
		l.outage.failed(f)
		return
	}
	now := time.Now()
	l.mu.Lock()
	r := l.faults[source{f.Queue, f.Op}]
	if r == nil {
		r = &repeated{}
		l.faults[source{f.Queue, f.Op}] = r
	}
	if now.Sub(r.last) < repeatAfter {
		r.since++
		l.mu.Unlock()
		return
	}
	attrs := []slog.Attr{slog.String("queue", f.Queue), slog.String("op", string(f.Op)), slog.String("error", f.Err.Error()), slog.Duration("retry_in", f.RetryIn)}
	if r.since > 0 {
		attrs = append(attrs, slog.Int("repeated", r.since))
	}
	*r = repeated{last: now}
	l.mu.Unlock()
	l.logger.LogAttrs(ctx, slog.LevelWarn, "broker call failed", attrs...)
}

// OnWorkerState logs at info. The first line says what the worker works on.
func (l *workerLog) OnWorkerState(ctx context.Context, s WorkerStatus) {
	var attrs []slog.Attr
	switch s.State {
	case WorkerRunning:
		attrs = append(attrs, slog.String("driver", s.Broker.Driver), slog.String("broker", s.Broker.Broker),
			slog.String("version", s.Broker.Version))
		attrs = append(attrs, queueAttrs(s.Queues)...)
	case WorkerStopped:
		attrs = append(attrs, slog.Int("given_back", s.GivenBack))
	}
	l.logger.LogAttrs(ctx, slog.LevelInfo, "worker "+s.State.String(), attrs...)
}

// mostNamed is how many queues a line names. With hundreds it would be too long for what
// collects logs, and have an attribute for each.
const mostNamed = 20

// queueAttrs say on how many jobs of each queue a worker works, or of all if there are many.
func queueAttrs(queues []WorkerQueue) []slog.Attr {
	each, total := make([]any, len(queues)), 0
	for i, q := range queues {
		each[i] = slog.Int(q.Name, q.Concurrency)
		total += q.Concurrency
	}
	if len(queues) > mostNamed {
		return []slog.Attr{slog.Int("queues", len(queues)), slog.Int("total_concurrency", total)}
	}
	return []slog.Attr{slog.Group("concurrency", each...)}
}
