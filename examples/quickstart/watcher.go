package main

import (
	"context"

	"github.com/batch-go/batch"
)

// watcher is the hook through which the progress and the screen learn what
// becomes of jobs.
type watcher struct {
	*progress
	screen *screen
}

// OnJobStart is called when a handler starts.
func (w *watcher) OnJobStart(ctx context.Context, _ *batch.JobInfo) context.Context {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running++
	return ctx
}

// OnJobEnd is called when the fate of a job is decided.
func (w *watcher) OnJobEnd(_ context.Context, e batch.JobEnd) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.Started {
		w.running--
	}
	switch failed := e.Verdict.Failures >= e.Job.Attempt; {
	case e.Verdict.Outcome == batch.OutcomeDone:
		w.markDone(e.Job.ID)
	case e.Verdict.Outcome == batch.OutcomeDead:
		w.markDead(e.Job.ID)
		w.screen.printf("dead letter  %s, attempt %d of %d: %v", w.name(e.Job), e.Job.Attempt, e.Job.MaxAttempts, e.Err)
	case failed:
		w.retries++
		w.screen.printf("retry        %s, attempt %d of %d: %v; again in %s", w.name(e.Job), e.Job.Attempt, e.Job.MaxAttempts, e.Err, e.Verdict.Delay)
	}
}

// OnFault is called when the broker cannot be reached.
func (w *watcher) OnFault(_ context.Context, e batch.Fault) {
	w.screen.printf("broker       %s: %v; again in %s", e.Op, e.Err, e.RetryIn)
}

// name is the file of a job as it is shown.
func (w *watcher) name(job *batch.JobInfo) string {
	if name := w.names[job.ID]; name != "" {
		return name
	}
	return "job " + job.ID
}
