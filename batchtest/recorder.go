package batchtest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/batch-go/batch"
)

const (
	// mostSnoozes is how often a job may be snoozed in a row while [Drain] waits: a poll each second for two and a half hours.
	mostSnoozes = 10_000
	// mostRuns is how many results there may be in one [Drain], and at one instant. They take some seconds.
	mostRuns = 50_000
)

// recorder is the hook by which a drain knows what its workers do. Jobs that go on for ever without time passing would
// keep the bubble from coming to rest, so the recorder holds the worker when there are too many.
type recorder struct {
	// released is closed when workers that are held may go on, to stop.
	released chan struct{}

	mu      sync.Mutex // guards following
	results []Result
	queues  []string // of the workers, sorted
	// draining says that a drain waits, which began with this number of results, and taken is how many earlier ones have
	// returned.
	draining     bool
	began, taken int
	// snoozes counts the snoozes in a row of each job, and instant the results of one moment.
	snoozes map[string]int
	last    time.Time
	instant int
	// endless says what goes on for ever, and stuck that a handler did not return. They are empty until then.
	endless, stuck string
	fault          string // the last one
}

// newRecorder makes one that has seen nothing.
func newRecorder() *recorder {
	return &recorder{released: make(chan struct{}), snoozes: make(map[string]int)}
}

// OnWorkerState learns the queues of a worker.
func (r *recorder) OnWorkerState(_ context.Context, s batch.WorkerStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, q := range s.Queues {
		if i, has := slices.BinarySearch(r.queues, q.Name); !has {
			r.queues = slices.Insert(r.queues, i, q.Name)
		}
	}
}

// OnJobEnd records what became of a job.
func (r *recorder) OnJobEnd(_ context.Context, e batch.JobEnd) {
	if r.record(newResult(e)) {
		<-r.released
	}
}

// record adds a result, and tells whether the worker is to be held.
func (r *recorder) record(result Result) (hold bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.endless != "" {
		return true
	}
	r.results = append(r.results, result)
	if !result.EndedAt.Equal(r.last) {
		r.last, r.instant = result.EndedAt, 0
	}
	r.instant++
	job := result.Job
	key := job.Queue + " " + job.ID
	if result.Started && batch.OutcomeOf(result.Err).Kind == batch.ReturnSnooze && result.Verdict.Outcome == batch.OutcomeRetry {
		r.snoozes[key]++
	} else {
		delete(r.snoozes, key)
	}
	switch {
	case r.draining && r.snoozes[key] > mostSnoozes:
		r.endless = fmt.Sprintf("job %s of kind %s on queue %s was snoozed %d times in a row, the last time for %s, and seems to go on for ever: %s",
			job.ID, job.Kind, job.Queue, mostSnoozes, result.Verdict.Delay, result.Err)
	case r.draining && len(r.results)-r.began > mostRuns:
		r.endless = fmt.Sprintf("jobs were run %d times and there are more: handlers seem to enqueue jobs for ever (of the last 100, %s)", mostRuns, r.lastKinds())
	case r.instant > mostRuns:
		r.endless = fmt.Sprintf("jobs were run %d times without time passing: they seem to come back at once for ever (of the last 100, %s)", mostRuns, r.lastKinds())
	}
	return r.endless != ""
}

// lastKinds are the kinds of the last results, in words. r.mu must be held.
func (r *recorder) lastKinds() string {
	count := make(map[string]int)
	for _, result := range r.results[max(0, len(r.results)-100):] {
		count[fmt.Sprintf("of kind %s on queue %s", result.Job.Kind, result.Job.Queue)]++
	}
	return countsOf(count)
}

// OnJobStuck learns of a handler that does not return.
func (r *recorder) OnJobStuck(_ context.Context, job *batch.JobInfo, overdue time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stuck == "" {
		r.stuck = fmt.Sprintf("the handler of job %s of kind %s on queue %s did not return for %s after its context had ended", job.ID, job.Kind, job.Queue, overdue)
	}
}

// OnFault learns of a call to the driver that failed.
func (r *recorder) OnFault(_ context.Context, f batch.Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = fmt.Sprintf("%s of queue %s: %v", f.Op, f.Queue, f.Err)
}
