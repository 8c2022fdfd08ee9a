package batch

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/batch-go/batch/driver"
)

// logger is where the panics of hooks are logged.
func (h *hooks) logger() *slog.Logger {
	if h.log == nil {
		return nil // slog.Default()
	}
	return h.log.logger
}

// onEnqueueStart lets hooks add headers to a message, and checks what they added. ctx is
// then that for the rest of the enqueue, also if a hook panics or ends the goroutine:
// what the ones before have begun, their OnEnqueueEnd ends.
func (h *hooks) onEnqueueStart(ctx *context.Context, m *driver.Message, queue string) error {
	if len(h.enqueueStart) == 0 {
		return nil
	}
	e := EnqueueStart{ID: m.ID, Kind: m.Kind, Queue: queue, Headers: maps.Clone(m.Headers)}
	if e.Headers == nil {
		e.Headers = make(map[string]string)
	}
	for _, w := range h.enqueueStart {
		next, err := startEnqueue(*ctx, w, &e)
		if err != nil {
			return err
		}
		if next != nil {
			*ctx = next
		}
	}
	return setHeaders(m, e.Headers)
}

// startEnqueue calls one hook, and turns a panic into an error.
func startEnqueue(ctx context.Context, w EnqueueStartHook, e *EnqueueStart) (next context.Context, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("batch: enqueue: %w", newPanicError(fmt.Sprintf("OnEnqueueStart of the hook %T", w), r))
		}
	}()
	return w.OnEnqueueStart(ctx, e), nil
}

// onEnqueueEnd and the methods below call the hooks for one event each.
func (h *hooks) onEnqueueEnd(ctx context.Context, e EnqueueEnd) {
	for _, w := range h.enqueueEnd {
		h.endEnqueue(ctx, w, e)
	}
}

// endEnqueue calls one hook.
func (h *hooks) endEnqueue(ctx context.Context, w EnqueueEndHook, e EnqueueEnd) {
	defer logPanic(h.logger(), "OnEnqueueEnd", w)
	w.OnEnqueueEnd(ctx, e)
}

// onJobStart makes ctx the context for the job's run, also if a hook ends the goroutine.
func (h *hooks) onJobStart(ctx *context.Context, job *JobInfo) {
	for _, w := range h.jobStart {
		if next := h.startJob(*ctx, w, job); next != nil {
			*ctx = next
		}
	}
}

// startJob calls one hook.
func (h *hooks) startJob(ctx context.Context, w JobStartHook, job *JobInfo) context.Context {
	defer logPanic(h.logger(), "OnJobStart", w)
	return w.OnJobStart(ctx, job)
}

func (h *hooks) onJobEnd(ctx context.Context, e JobEnd) {
	for _, w := range h.jobEnd {
		h.endJob(ctx, w, e)
	}
}

// endJob calls one hook.
func (h *hooks) endJob(ctx context.Context, w JobEndHook, e JobEnd) {
	defer logPanic(h.logger(), "OnJobEnd", w)
	w.OnJobEnd(ctx, e)
}

func (h *hooks) onJobStuck(ctx context.Context, job *JobInfo, overdue time.Duration) {
	for _, w := range h.jobStuck {
		aside(h.logger(), "OnJobStuck", w, func() { w.OnJobStuck(ctx, job, overdue) })
	}
}

func (h *hooks) onSuspect(ctx context.Context, e Suspect) {
	for _, w := range h.suspect {
		aside(h.logger(), "OnSuspect", w, func() { w.OnSuspect(ctx, e) })
	}
}

func (h *hooks) onLeaseLost(ctx context.Context, e LeaseLost) {
	for _, w := range h.leaseLost {
		aside(h.logger(), "OnLeaseLost", w, func() { w.OnLeaseLost(ctx, e) })
	}
}

// onFault is about a call of a worker that failed, and answered about one that did
// not.
func (h *hooks) onFault(ctx context.Context, f Fault) {
	for _, w := range h.fault {
		aside(h.logger(), "OnFault", w, func() { w.OnFault(ctx, f) })
	}
}

// answered says that the broker has answered a call of a worker. Only the log needs to
// know.
func (h *hooks) answered(queue string, op Op) {
	if h.log != nil {
		h.log.outage.answered(queue, op)
	}
}

func (h *hooks) onWorkerState(ctx context.Context, s WorkerStatus) {
	for _, w := range h.worker {
		aside(h.logger(), "OnWorkerState", w, func() { w.OnWorkerState(ctx, s) })
	}
}

// now is the time at which a call to the driver begins, zero if no hook wants to
// know about calls.
func (h *hooks) now() time.Time {
	if len(h.call) == 0 {
		return time.Time{}
	}
	return time.Now()
}

// tell calls do, which makes a call to the driver that is about no number of jobs, and
// then tells the hooks.
func (h *hooks) tell(ctx context.Context, op Op, queue string, do func() error) error {
	start := h.now()
	err := do()
	h.onCall(ctx, op, queue, 0, start, err)
	return err
}

// onCall is about a call to the driver that began at start, and has returned.
func (h *hooks) onCall(ctx context.Context, op Op, queue string, jobs int, start time.Time, err error) {
	if len(h.call) > 0 {
		h.told(ctx, Call{Op: op, Queue: queue, Jobs: jobs, Duration: time.Since(start), Err: err})
	}
}

// onJobsCall is onCall for a call that was about the jobs of a list.
func onJobsCall[T any](ctx context.Context, h *hooks, op Op, queue string, jobs []T, messageOf func(T) *driver.Message, start time.Time, err error) {
	if len(h.call) == 0 {
		return
	}
	h.told(ctx, Call{
		Op: op, Queue: queue, Jobs: len(jobs), Duration: time.Since(start), Err: err,
		Headers: func(yield func(string, map[string]string) bool) {
			for _, job := range jobs {
				if m := messageOf(job); !yield(m.ID, m.Headers) {
					return
				}
			}
		},
	})
}

// told calls the hooks for a call.
func (h *hooks) told(ctx context.Context, c Call) {
	for _, w := range h.call {
		aside(h.logger(), "OnCall", w, func() { w.OnCall(ctx, c) })
	}
}

// ofMessage and the functions below are the messages of what calls are about.
func ofMessage(m *driver.Message) *driver.Message      { return m }
func ofEntry(e *driver.Entry) *driver.Message          { return &e.Message }
func ofDelivery(d *driver.Delivery) *driver.Message    { return &d.Message }
func ofSettlement(s driver.Settlement) *driver.Message { return &s.Delivery.Message }
