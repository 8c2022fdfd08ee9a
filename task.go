package batch

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch/driver"
)

// task is one delivery while this worker is responsible for it: from Receive
// until its settlement is confirmed or its lease is lost.
type task struct {
	delivery *driver.Delivery
	handler  *handler // nil if the kind is unknown
	job      JobInfo

	// state decides who ends the task: the slot that runs it, or whoever
	// leaves the slot behind.
	state atomic.Int32
	// lost is set when the lease is; nothing is settled then.
	lost atomic.Bool
	// The fields below are written before state becomes running, and read by
	// others only after that was seen.

	// ctx is the handler's, and cancel ends it.
	ctx    jobContext
	cancel context.CancelCauseFunc
	facts  facts
	// started is when the handler was called, and overdueAt when it counts as
	// stuck.
	started, overdueAt time.Time

	// settling is how the task ends, written by the one party that ends it.
	settling settling

	// The keeper's list, guarded by its mutex.
	previous, next *task
	// extended is when the lease was last known to have begun.
	extended time.Time
}

// The states of a task. Every move is a compare-and-swap, so that each task is
// ended by exactly one party.
const (
	// taskBuffered: received, waiting for a slot.
	taskBuffered int32 = iota
	// taskRunning: in a slot.
	taskRunning
	// taskReturned: its handler came back, and its slot ends it.
	taskReturned
	// taskLeft: its handler did not come back, and whoever left it ends it.
	taskLeft
	// taskDropped: its lease was lost before it ran.
	taskDropped
)

// ended tells that the task's fate was decided.
func (t *task) ended() bool {
	s := t.state.Load()
	return s == taskReturned || s == taskLeft
}

// jobContext is the context of a running handler: one that can be cancelled
// with a cause, and that has the deadline of the job. The slot's timer cancels
// it then, which spares a timer for every job.
type jobContext struct {
	context.Context
	deadline time.Time
}

// Deadline is when the job's timeout passes.
func (c *jobContext) Deadline() (time.Time, bool) { return c.deadline, true }

// Err is context.DeadlineExceeded after the timeout.
func (c *jobContext) Err() error {
	err := c.Context.Err()
	if err != nil && context.Cause(c.Context) == ErrTimeout {
		return context.DeadlineExceeded
	}
	return err
}

func (l *lane) newTask(d *driver.Delivery) *task {
	w := l.worker
	t := &task{delivery: d, handler: w.handlers[d.Kind]}
	t.job = JobInfo{
		ID: d.ID, Kind: d.Kind, Queue: l.config.Name,
		Attempt: d.Failures + 1, MaxAttempts: d.MaxAttempts, Deliveries: d.Deliveries,
		LastError:  d.LastError,
		EnqueuedAt: d.EnqueuedAt, ExpiresAt: d.ExpiresAt, Timeout: d.Timeout,
		Priority: d.Level, Group: d.Group,
		Headers: d.Headers, ContentType: d.ContentType, Body: d.Body,
	}
	if t.job.MaxAttempts == 0 && t.handler != nil {
		t.job.MaxAttempts = t.handler.maxAttempts
	}
	if t.job.MaxAttempts == 0 {
		t.job.MaxAttempts = w.config.MaxAttempts
	}
	if t.job.Timeout == 0 && t.handler != nil {
		t.job.Timeout = t.handler.timeout
	}
	if t.job.Timeout == 0 {
		t.job.Timeout = w.config.Timeout
	}
	return t
}

// facts gathers what is known of the task as it was received, and decodes its
// body if nothing else speaks against running it.
func (w *Worker) facts(t *task) facts {
	d := t.delivery
	f := facts{
		stage:    received,
		failures: d.Failures, deliveries: d.Deliveries, redeliveries: d.Redeliveries,
		maxAttempts: t.job.MaxAttempts, maxRedeliveries: w.config.MaxRedeliveries,
		maxDelay: w.info.Limits.MaxRetryDelay,
	}
	if f.redeliveries > f.maxRedeliveries {
		return f
	}
	if !d.ExpiresAt.IsZero() && !time.Now().Before(d.ExpiresAt) {
		f.expired = true
		return f
	}
	codec := w.codecs[d.ContentType]
	switch {
	case t.handler == nil:
		f.unknown = fmt.Errorf("no handler for kind %q on this worker", d.Kind)
	case codec == nil:
		f.unknown = fmt.Errorf("no codec for content type %q on this worker", d.ContentType)
	default:
		f.decoding = decode(t.handler, codec, &t.job)
	}
	if f.unknown != nil {
		f.backoff = w.config.RetryPolicy.Backoff(max(d.Deliveries, 1), f.unknown)
	}
	return f
}

// decode runs the codec, whose panic on a hostile body must not take the worker
// down.
func decode(h *handler, codec Codec, job *JobInfo) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the codec panicked: %v", r)
		}
		if err != nil {
			job.decoded = nil
		}
	}()
	return h.decode(codec, job)
}

// outcome completes the facts with what the handler returned.
func (w *Worker) outcome(t *task, f facts, stage stage, err error) facts {
	f.stage, f.err = stage, err
	if err != nil && stage != interrupted {
		policy := w.config.RetryPolicy
		if t.handler.retry != nil {
			policy = t.handler.retry
		}
		f.backoff = policy.Backoff(f.failures+1, err)
	}
	return f
}
