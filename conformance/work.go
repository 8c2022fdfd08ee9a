package conformance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// The helpers in this file are for cases that use the public API.

// kind is the kind of the cases' jobs.
const kind = "conformance.task"

// task is the args of most jobs.
type task struct {
	N    int    `json:"n"`
	Data string `json:"data,omitempty"`
}

// Kind names it.
func (task) Kind() string { return kind }

// otherTask is of a kind that no job has.
type otherTask struct{}

// Kind names it.
func (otherTask) Kind() string { return "conformance.other" }

// portable is the queue as every driver has it.
type portable = batch.Queue[driver.Driver]

// handler is a handler of tasks.
type handler func(context.Context, *batch.Job[task]) error

// job is what a handler of tasks gets.
type job = batch.Job[task]

// nothing is a handler that succeeds.
func nothing(context.Context, *batch.Job[task]) error { return nil }

// busy passes a handler's time.
func busy(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// capable narrows a handle to a capability that its type has.
func capable[D driver.Driver](s *stage, d driver.Driver) D {
	fit, ok := d.(D)
	if !ok {
		fit, ok = bare(d).(D)
	}
	if !ok {
		s.failf("Open returned a %T, which lacks what another handle had", d)
	}
	return fit
}

// queueOf is the case's queue on a handle, with the capability set D.
func queueOf[D driver.Driver](s *stage, d driver.Driver, options ...batch.QueueOption) *batch.Queue[D] {
	q, err := batch.TryNewQueue(capable[D](s, d), s.queue, options...)
	s.check(err, "make the queue's handle")
	return q
}

// portable is the case's queue on a new handle.
func (s *stage) portable() *portable { return queueOf[driver.Driver](s, s.open()) }

// enqueue stores task n, with the ID that name gives it.
func enqueue[D driver.Driver](s *stage, q *batch.Queue[D], n int, options ...batch.Option[D]) string {
	id := name(n)
	s.check(tryEnqueue(s, q, n, options...), "enqueue %s", id)
	return id
}

// tryEnqueue may be called from any goroutine.
func tryEnqueue[D driver.Driver](s *stage, q *batch.Queue[D], n int, options ...batch.Option[D]) error {
	id := name(n)
	s.history.Add(Event{Op: Enqueueing, ID: id})
	receipt, err := q.Enqueue(s.ctx, task{N: n}, append(options, batch.ID(q, id))...)
	switch {
	case err != nil:
		return err
	case receipt.ID != id:
		return fmt.Errorf("the receipt is for %q", receipt.ID)
	case receipt.Duplicate:
		return errors.New("reported as a duplicate")
	}
	s.history.Add(Event{Op: Enqueued, ID: id})
	return nil
}

// name is the ID of job n.
func name(n int) string { return fmt.Sprintf("job-%d", n) }

// names are the IDs of the first n jobs.
func names(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = name(i)
	}
	return all
}

// work starts a worker on the case's queue that is stopped after the case. Its
// config is made for cases: one job at a time, no prefetch, few attempts and
// quick retries; adjust changes it. Without handle it knows other kinds only.
func (s *stage) work(d driver.Driver, handle handler, adjust ...func(*batch.WorkerConfig)) *batch.Worker {
	w := s.worker(d, adjust...)
	if handle != nil {
		s.check(batch.TryHandle(w, handle), "add the handler")
	} else {
		s.check(batch.TryHandle(w, func(context.Context, *batch.Job[otherTask]) error { return nil }), "add a handler for another kind")
	}
	s.start(w)
	return w
}

// worker makes a worker that is not started.
func (s *stage) worker(d driver.Driver, adjust ...func(*batch.WorkerConfig)) *batch.Worker {
	s.mu.Lock()
	s.workers++
	watcher := &watcher{history: s.history, name: fmt.Sprintf("worker-%d", s.workers)}
	s.mu.Unlock()
	config := batch.WorkerConfig{
		Queues:      []batch.WorkerQueue{{Name: s.queue, Concurrency: 1, Prefetch: batch.NoPrefetch, Lease: s.lease()}},
		Hooks:       []batch.Hook{watcher},
		Log:         slog.New(slog.DiscardHandler),
		RetryPolicy: batch.ConstantBackoff(10 * time.Millisecond),
		MaxAttempts: 3,
	}
	for _, change := range adjust {
		change(&config)
	}
	w, err := batch.TryNewWorker(d, config)
	s.check(err, "make a worker")
	return w
}

// start starts a worker, which is stopped after the case.
func (s *stage) start(w *batch.Worker) {
	s.check(w.Start(s.ctx), "start a worker")
	s.after(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, s.cleanupTime()/2)
		defer cancel()
		// Whether jobs had to be cancelled is the business of the cases on
		// stopping.
		w.Stop(ctx)
		if ctx.Err() != nil {
			return errors.New("a worker takes long to stop")
		}
		return nil
	})
}

// concurrency sets a worker's concurrency and prefetch.
func concurrency(n, prefetch int) func(*batch.WorkerConfig) {
	return func(c *batch.WorkerConfig) {
		c.Queues[0].Concurrency, c.Queues[0].Prefetch = n, prefetch
	}
}

// retryAfter sets the delay of retries.
func retryAfter(d time.Duration) func(*batch.WorkerConfig) {
	return func(c *batch.WorkerConfig) { c.RetryPolicy = batch.ConstantBackoff(d) }
}

// watcher records what a worker does.
type watcher struct {
	history *History
	name    string
	dead    *atomic.Bool // set when its process is to be taken for dead; may be nil
}

func (w *watcher) event(op Op, job *batch.JobInfo, note string) {
	w.add(Event{
		Op: op, ID: job.ID, Worker: w.name, Attempt: job.Attempt, Deliveries: job.Deliveries,
		Level: job.Priority, Group: job.Group, Note: note,
	})
}

// add records an event, unless the worker's process is dead.
func (w *watcher) add(e Event) {
	if w.dead == nil || !w.dead.Load() {
		w.history.Add(e)
	}
}

// OnJobStart records the start.
func (w *watcher) OnJobStart(ctx context.Context, job *batch.JobInfo) context.Context {
	w.event(Started, job, "")
	return ctx
}

// OnJobEnd records the verdict.
func (w *watcher) OnJobEnd(_ context.Context, e batch.JobEnd) {
	note := ""
	if e.Err != nil {
		note = e.Err.Error()
	}
	if e.Verdict.Reason != "" {
		note = e.Verdict.Reason + ": " + note
	}
	op := Noted
	switch {
	case e.Verdict.Outcome == batch.OutcomeDone:
		op = Done
	case e.Verdict.Outcome == batch.OutcomeDead:
		op = Died
	case e.Verdict.Outcome == batch.OutcomeRetry && e.Verdict.Failures >= e.Job.Attempt:
		op = Failed
	case e.Started && (e.Verdict.Outcome == batch.OutcomeRetry || e.Verdict.Outcome == batch.OutcomeRelease):
		op = Returned
	default:
		note = fmt.Sprintf("%s without being run: %s", e.Verdict.Outcome, note)
	}
	w.add(Event{
		Op: op, ID: e.Job.ID, Worker: w.name, Attempt: e.Job.Attempt, Deliveries: e.Job.Deliveries,
		Level: e.Job.Priority, Group: e.Job.Group, Note: note, Delay: e.Verdict.Delay,
	})
}

// OnJobStuck records that a handler goes on for too long.
func (w *watcher) OnJobStuck(_ context.Context, job *batch.JobInfo, late time.Duration) {
	w.event(Noted, job, fmt.Sprintf("%s %s", stuckNote, late))
}

// stuckNote begins the note of a handler that counts as stuck.
const stuckNote = "stuck for"

// OnLeaseLost records the loss.
func (w *watcher) OnLeaseLost(_ context.Context, e batch.LeaseLost) { w.event(Lost, e.Job, "") }

// OnFault records the fault.
func (w *watcher) OnFault(_ context.Context, f batch.Fault) {
	w.add(Event{Op: Noted, Worker: w.name, Note: fmt.Sprintf("%s: %v", f.Op, f.Err)})
}
