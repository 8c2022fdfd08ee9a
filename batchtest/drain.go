package batchtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// Drain starts workers on a memory driver, waits until their queues are empty but for dead letters, stops the workers and
// returns what became of the jobs, in the order in which they ended. Delays, backoffs and snoozes are waited for, in fake
// time: it must be called in a bubble of [synctest.Test], in which the driver was made.
//
// The test fails, with a message that says which jobs and why, instead of waiting for ever: when a job was snoozed
// 10 000 times in a row; when jobs have ended 50 000 times and there are more; when it is the year 2200; when jobs wait
// that no worker takes, because their queue is paused for example; and when a handler ignores the end of its context. A
// queue that is none of the workers' is left as it is. For jobs that are meant to go on for ever, use [Start], and let
// time pass with time.Sleep.
//
// Drain waits in testing/synctest's sense, so what else is in the bubble must come to rest too. What waits there for the
// network, as a test server does, for a mutex or for a channel from outside of the bubble, would keep it from that for ever.
func Drain(t testing.TB, d *memory.Driver, workers ...*batch.Worker) []Result {
	t.Helper()
	r := Start(t, d, workers...)
	results := r.Drain()
	r.stop()
	return results
}

// Running are workers that [Start] has started. Its methods are for the test's goroutine.
type Running struct {
	t        testing.TB
	driver   *memory.Driver
	workers  []*batch.Worker
	recorder *recorder
	stopped  bool
	// ended tells whether the test had failed or was skipped before any handler could do that: when the workers were
	// started, or when a drain began and none had panicked.
	ended bool
}

// Start starts workers on a memory driver, and stops them when the test has ended. They must not have been started
// before. It works outside of a bubble too; [Running.Drain] does not.
func Start(t testing.TB, d *memory.Driver, workers ...*batch.Worker) *Running {
	t.Helper()
	if d == nil || len(workers) == 0 || slices.Contains(workers, nil) {
		t.Fatalf("batchtest: Start and Drain need a driver and at least one worker, and none that is nil")
	}
	r := &Running{t: t, driver: d, recorder: newRecorder(), ended: t.Failed() || t.Skipped()}
	t.Cleanup(r.stop)
	for _, w := range workers {
		err := w.AddHooks(r.recorder)
		if err == nil {
			r.workers = append(r.workers, w)
			err = w.Start(withoutEnd(t))
		}
		switch {
		case errors.Is(err, batch.ErrStarted):
			t.Fatalf("batchtest: a worker was started before: Start and Drain do that themselves, and for a second drain there is Running.Drain: %v", err)
		case err != nil:
			t.Fatalf("batchtest: %v", err)
		}
	}
	for _, name := range r.queues() {
		if _, err := d.Depth(withoutEnd(t), name); err != nil {
			t.Fatalf("batchtest: queue %s of the workers is not on the driver: must be the driver that the workers were made with: %v", name, err)
		}
	}
	return r
}

// stop stops the workers, those that are held too. A second stop is a no-op.
func (r *Running) stop() {
	r.t.Helper()
	if r.stopped {
		return
	}
	r.stopped = true
	close(r.recorder.released)
	for _, w := range r.workers {
		if err := w.Stop(withoutEnd(r.t)); err != nil {
			r.t.Errorf("batchtest: %v", err)
		}
	}
	if endless, _ := r.trouble(); endless != "" && !r.t.Failed() {
		r.t.Errorf("batchtest: %s", endless)
	}
}

// Results are what became of jobs since the start, in the order in which they ended.
func (r *Running) Results() []Result {
	r.recorder.mu.Lock()
	defer r.recorder.mu.Unlock()
	return slices.Clone(r.recorder.results)
}

// queues are those of the workers.
func (r *Running) queues() []string {
	r.recorder.mu.Lock()
	defer r.recorder.mu.Unlock()
	return slices.Clone(r.recorder.queues)
}

// trouble is what makes waiting pointless.
func (r *Running) trouble() (endless, stuck string) {
	r.recorder.mu.Lock()
	defer r.recorder.mu.Unlock()
	return r.recorder.endless, r.recorder.stuck
}

// Drain is the function Drain for workers that run, and leaves them running. It returns what became of jobs since the
// last Drain, or since the start. It may be called again, after more was enqueued.
func (r *Running) Drain() []Result {
	r.t.Helper()
	r.draining(true)
	defer r.draining(false)
	for first, p := true, (pace{}); ; first = false {
		if err := rest(); err != nil {
			r.t.Fatalf("batchtest: %v", err)
		}
		if first && !slices.ContainsFunc(r.Results(), isPanic) {
			r.ended = r.t.Failed() || r.t.Skipped()
		}
		r.check()
		s, err := r.look()
		if err != nil {
			r.t.Fatalf("batchtest: %v", err)
		}
		if s.quiet() {
			return r.take()
		}
		step, err := p.next(s)
		if err != nil {
			r.t.Fatalf("batchtest: Drain waits in vain: %v%s", err, r.last())
		}
		time.Sleep(step)
	}
}

// draining notes whether a drain waits. What goes on for ever is counted from its beginning.
func (r *Running) draining(waits bool) {
	r.recorder.mu.Lock()
	defer r.recorder.mu.Unlock()
	r.recorder.draining, r.recorder.began = waits, len(r.recorder.results)
	clear(r.recorder.snoozes)
}

// take are the results that no drain has returned yet. Those of jobs that ended before it began are among them: a worker
// that has just been started is quick.
func (r *Running) take() []Result {
	r.recorder.mu.Lock()
	defer r.recorder.mu.Unlock()
	taken := r.recorder.taken
	r.recorder.taken = len(r.recorder.results)
	return slices.Clone(r.recorder.results[taken:])
}

// check ends the test if waiting is pointless.
func (r *Running) check() {
	r.t.Helper()
	endless, stuck := r.trouble()
	switch {
	case endless != "":
		r.t.Fatalf("batchtest: %s (if it is meant to, use Start, and let time pass with time.Sleep)", endless)
	case stuck != "":
		r.t.Fatalf("batchtest: %s: its goroutine is left behind, and the bubble cannot end without it", stuck)
	}
	for _, w := range r.workers {
		select {
		case <-w.Failed():
			r.t.Fatalf("batchtest: a worker has failed, and does not go on%s", r.last())
		case <-w.Stopped():
			r.t.Fatalf("batchtest: a worker has stopped, and there is nobody to wait for")
		default:
		}
	}
	if r.panicked() {
		endWith(r.t, r.ended)
	}
}

// panicked tells whether the last result is a panic.
func (r *Running) panicked() bool {
	r.recorder.mu.Lock()
	defer r.recorder.mu.Unlock()
	n := len(r.recorder.results)
	return n > 0 && isPanic(r.recorder.results[n-1])
}

// isPanic tells whether a handler panicked.
func isPanic(r Result) bool {
	_, is := errors.AsType[*batch.PanicError](r.Err)
	return is
}

// last is what happened last, as further lines of a message.
func (r *Running) last() (lines string) {
	r.recorder.mu.Lock()
	defer r.recorder.mu.Unlock()
	if last := r.recorder.lastKinds(); last != "" {
		lines += "\n  the last results: " + last
	}
	if r.recorder.fault != "" {
		lines += "\n  the last fault: " + r.recorder.fault
	}
	return lines
}

// rest waits until nothing in the bubble moves any more.
func rest() (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("Drain is called outside of a bubble: must be within synctest.Test (%v)", reason)
		}
	}()
	synctest.Wait()
	return nil
}

// look counts what the queues have.
func (r *Running) look() (scene, error) {
	ctx := withoutEnd(r.t)
	var all scene
	for _, name := range r.queues() {
		depth, err := r.driver.Depth(ctx, name)
		if errors.Is(err, batch.ErrNotFound) { // it was deleted, with all its jobs
			continue
		}
		if err != nil {
			return all, err
		}
		s := scene{waiting: depth.Waiting, scheduled: depth.Scheduled, running: depth.Running}
		if err := r.lookCloser(ctx, name, &s); err != nil {
			return all, err
		}
		all.add(s)
	}
	r.recorder.mu.Lock()
	all.ended = len(r.recorder.results)
	r.recorder.mu.Unlock()
	return all, nil
}

// lookCloser finds out when the first scheduled job of a queue is due, and what jobs wait for.
func (r *Running) lookCloser(ctx context.Context, queue string, s *scene) error {
	if s.scheduled > 0 {
		page, _, err := r.driver.List(ctx, queue, batch.StateScheduled, "", 1)
		if err != nil {
			return err
		}
		if len(page) > 0 {
			s.due = page[0].DueAt
		}
	}
	if s.waiting > 0 {
		paused, err := r.driver.Paused(ctx, queue)
		if err != nil {
			return err
		}
		s.idle = jobsAre(s.waiting) + " waiting on queue " + queue
		if paused {
			s.idle += ", which is paused"
		}
	}
	return nil
}
