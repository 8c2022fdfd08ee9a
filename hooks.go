package batch

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
)

// Hook watches what a queue or worker does, for logs, metrics and traces. It is
// any value that implements one or more of the interfaces below; a value that
// implements none is refused. Hooks are called synchronously, in the order in
// which they were given, and concurrently for different jobs, so they must be fast
// and safe for concurrent use. A hook cannot change what happens to a job, except
// for the headers that an [EnqueueStartHook] adds. A panic of a hook is logged to
// slog.Default() and goes no further, except that one of OnEnqueueStart is the error
// of the enqueue, as nothing was sent.
type Hook any

// EnqueueStartHook is called once for each job before it is encoded.
type EnqueueStartHook interface {
	OnEnqueueStart(ctx context.Context, e *EnqueueStart)
}

// EnqueueStart is a job that is about to be enqueued.
type EnqueueStart struct {
	ID, Kind, Queue string
	// Headers are the job's. A hook may add to them, a trace context for example;
	// names are checked as those of [Header] are.
	Headers map[string]string
}

// EnqueueEndHook is called exactly once for each job after OnEnqueueStart: when the
// broker has answered, when the caller has stopped waiting, or when the job was
// refused or its queue could not be declared.
type EnqueueEndHook interface {
	OnEnqueueEnd(ctx context.Context, e EnqueueEnd)
}

// EnqueueEnd is what became of an enqueue.
type EnqueueEnd struct {
	ID, Kind, Queue string
	// Size is the length of the body in bytes.
	Size int
	// Duration is from encoding to the broker's answer, zero for a job that was not
	// sent.
	Duration time.Duration
	// Fate says what is known of the job if Err is not nil.
	Fate Fate
	// Duplicate and Err are as in [Receipt] and [Queue.Enqueue].
	Duplicate bool
	Err       error
}

// JobStartHook is called each time before the middleware and the handler of a job.
type JobStartHook interface {
	OnJobStart(ctx context.Context, job *JobInfo)
}

// JobEndHook is called once for each delivery when its fate was decided, before the
// broker is told, even if the handler was never called: for example because the
// job had expired or is of an unknown kind.
type JobEndHook interface {
	OnJobEnd(ctx context.Context, e JobEnd)
}

// JobEnd is what was decided about a job.
type JobEnd struct {
	Job *JobInfo
	// Started is false if the handler was not called.
	Started bool
	// Duration is how long middleware and handler ran.
	Duration time.Duration
	// Verdict says what becomes of the job, and why.
	Verdict Verdict
	// Err is what the handler returned, or why it was not called. A
	// [*PanicError] has the stack.
	Err error
}

// JobStuckHook is called when a handler still runs long after its context was
// cancelled. The worker gives its slot to another job and lets the goroutine run.
type JobStuckHook interface {
	OnJobStuck(ctx context.Context, job *JobInfo, overdue time.Duration)
}

// LeaseLostHook is called when the broker no longer holds a job for this
// worker. If the job is running, its context was cancelled with [ErrLeaseLost].
// The job may run a second time elsewhere, or may have done so.
type LeaseLostHook interface {
	OnLeaseLost(ctx context.Context, job *JobInfo)
}

// FaultHook is called each time the worker could not receive, settle or extend,
// before it tries again.
type FaultHook interface {
	OnFault(ctx context.Context, e Fault)
}

// Fault is a failed call to the broker.
type Fault struct {
	Queue string
	// Op is "receive", "settle", "extend", "declare" or "close".
	Op string
	// Err is the driver's error.
	Err error
	// RetryIn is the wait before the next try, zero if there is none.
	RetryIn time.Duration
}

// WorkerStateHook is called once for each [WorkerState] that a worker enters, in the
// order of the constants.
type WorkerStateHook interface {
	OnWorkerState(ctx context.Context, state WorkerState)
}

// WorkerState is a stage in a worker's life.
type WorkerState uint8

const (
	// WorkerRunning: queues are declared and jobs are received.
	WorkerRunning WorkerState = iota + 1
	// WorkerDraining: no more jobs are received; running ones may finish.
	WorkerDraining
	// WorkerStopped: every job is settled or given back.
	WorkerStopped
)

// String is the state's name in lower case.
func (s WorkerState) String() string {
	switch s {
	case WorkerRunning:
		return "running"
	case WorkerDraining:
		return "draining"
	case WorkerStopped:
		return "stopped"
	}
	return "invalid"
}

// hooks are sorted by what they implement, once, so that an event without hooks
// costs only a length check.
type hooks struct {
	enqueueStart []EnqueueStartHook
	enqueueEnd   []EnqueueEndHook
	jobStart     []JobStartHook
	jobEnd       []JobEndHook
	jobStuck     []JobStuckHook
	leaseLost    []LeaseLostHook
	fault        []FaultHook
	worker       []WorkerStateHook
}

// sortHooks sorts a list of hooks, and refuses a value that is not one.
func sortHooks(list []Hook) (hooks, error) {
	var all hooks
	for i, h := range list {
		used := false
		add(h, &all.enqueueStart, &used)
		add(h, &all.enqueueEnd, &used)
		add(h, &all.jobStart, &used)
		add(h, &all.jobEnd, &used)
		add(h, &all.jobStuck, &used)
		add(h, &all.leaseLost, &used)
		add(h, &all.fault, &used)
		add(h, &all.worker, &used)
		if !used {
			return hooks{}, invalid(fmt.Sprintf("hook %d", i+1), fmt.Sprintf("of type %T", h), "a value that implements one of the hook interfaces")
		}
	}
	return all, nil
}

// add puts h into the list of those that implement T, if it does.
func add[T any](h Hook, list *[]T, used *bool) {
	if t, ok := h.(T); ok {
		*list = append(*list, t)
		*used = true
	}
}

// onEnqueueStart lets hooks add headers to a message, and checks what they added.
func (h *hooks) onEnqueueStart(ctx context.Context, m *driver.Message, queue string) error {
	if len(h.enqueueStart) == 0 {
		return nil
	}
	e := EnqueueStart{ID: m.ID, Kind: m.Kind, Queue: queue, Headers: maps.Clone(m.Headers)}
	if e.Headers == nil {
		e.Headers = make(map[string]string)
	}
	for _, w := range h.enqueueStart {
		if err := startEnqueue(ctx, w, &e); err != nil {
			return err
		}
	}
	return setHeaders(m, e.Headers)
}

// setHeaders gives a message the headers that the application's code made.
func setHeaders(m *driver.Message, headers map[string]string) error {
	for name := range headers {
		if err := checkHeaderName(name); err != nil {
			return err
		}
	}
	m.Headers = nil
	if len(headers) > 0 {
		m.Headers = headers
	}
	return nil
}

// startEnqueue calls one hook, and turns a panic into an error.
func startEnqueue(ctx context.Context, w EnqueueStartHook, e *EnqueueStart) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("batch: enqueue: %w", newPanicError(fmt.Sprintf("OnEnqueueStart of the hook %T", w), r))
		}
	}()
	w.OnEnqueueStart(ctx, e)
	return nil
}

// onEnqueueEnd and the methods below call the hooks for one event each.
func (h *hooks) onEnqueueEnd(ctx context.Context, e EnqueueEnd) {
	for _, w := range h.enqueueEnd {
		endEnqueue(ctx, w, e)
	}
}

// endEnqueue calls one hook.
func endEnqueue(ctx context.Context, w EnqueueEndHook, e EnqueueEnd) {
	defer logPanic("OnEnqueueEnd", w)
	w.OnEnqueueEnd(ctx, e)
}

func (h *hooks) onJobStart(ctx context.Context, job *JobInfo) {
	for _, w := range h.jobStart {
		startJob(ctx, w, job)
	}
}

// startJob calls one hook.
func startJob(ctx context.Context, w JobStartHook, job *JobInfo) {
	defer logPanic("OnJobStart", w)
	w.OnJobStart(ctx, job)
}

func (h *hooks) onJobEnd(ctx context.Context, e JobEnd) {
	for _, w := range h.jobEnd {
		endJob(ctx, w, e)
	}
}

// endJob calls one hook.
func endJob(ctx context.Context, w JobEndHook, e JobEnd) {
	defer logPanic("OnJobEnd", w)
	w.OnJobEnd(ctx, e)
}

func (h *hooks) onJobStuck(ctx context.Context, job *JobInfo, overdue time.Duration) {
	for _, w := range h.jobStuck {
		aside("OnJobStuck", w, func() { w.OnJobStuck(ctx, job, overdue) })
	}
}

func (h *hooks) onLeaseLost(ctx context.Context, job *JobInfo) {
	for _, w := range h.leaseLost {
		aside("OnLeaseLost", w, func() { w.OnLeaseLost(ctx, job) })
	}
}

func (h *hooks) onFault(ctx context.Context, f Fault) {
	for _, w := range h.fault {
		aside("OnFault", w, func() { w.OnFault(ctx, f) })
	}
}

func (h *hooks) onWorkerState(ctx context.Context, s WorkerState) {
	for _, w := range h.worker {
		aside("OnWorkerState", w, func() { w.OnWorkerState(ctx, s) })
	}
}

// aside calls a hook on a goroutine of its own, and waits for it. A hook that ends
// its goroutine (runtime.Goexit, as a failed assertion of package testing does)
// must not end one of the worker's, which everything else depends on.
func aside(method string, hook Hook, call func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer logPanic(method, hook)
		call()
	}()
	<-done
}

// panicPause is how long the panics of one method of a hook are not logged again: a
// hook that panics does so for every job.
const panicPause = 10 * time.Second

// panicsLogged has when a panic was last logged, by the hook's type and method.
var panicsLogged sync.Map

// logPanic, deferred, logs a hook's panic. Nothing else comes of it, since a hook
// only watches.
func logPanic(method string, hook Hook) {
	r := recover()
	if r == nil {
		return
	}
	name := fmt.Sprintf("%T.%s", hook, method)
	now := time.Now()
	if last, ok := panicsLogged.Swap(name, now); ok && now.Sub(last.(time.Time)) < panicPause {
		panicsLogged.Store(name, last)
		return
	}
	defer func() { _ = recover() }() // the log handler may be what panics
	slog.Default().Error("a hook panicked", "hook", name, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
}
