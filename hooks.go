package batch

import (
	"context"
	"iter"
	"time"
)

// Hook watches what a queue or worker does, for metrics, traces and logs. It is any
// value that implements one or more of the interfaces below. A value that implements
// none is refused. So is one with a method that would never be called: because it has
// the name of a hook's method and another signature, or a name like OnJobEnded that
// is near to one.
//
// Hooks are called synchronously, in the order in which they were given, and
// concurrently for different jobs, so they must be fast and safe for concurrent use.
// A hook cannot change what happens to a job, except by the headers that an
// [EnqueueStartHook] adds and the contexts that it and a [JobStartHook] return. A
// panic of a hook is logged, to the worker's log or slog.Default(), and goes no
// further, except that one of OnEnqueueStart is the error of the enqueue, as nothing
// was sent.
type Hook any

// EnqueueStartHook is called once for each job before it is encoded. It returns ctx,
// or a context made from it, which the codec and OnEnqueueEnd get. Returning nil
// keeps ctx.
type EnqueueStartHook interface {
	OnEnqueueStart(ctx context.Context, e *EnqueueStart) context.Context
}

// EnqueueStart is a job that is about to be enqueued.
type EnqueueStart struct {
	ID, Kind, Queue string
	// Headers are the job's, not nil. A hook may add to them, a trace context for
	// example; names are checked as those of [Header] are.
	Headers map[string]string
}

// EnqueueEndHook is called exactly once for each job after OnEnqueueStart: when the
// broker has answered, when the caller has stopped waiting, or when the job was
// refused or its queue could not be declared. So it is if a hook or the codec panics or
// ends the goroutine.
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

// JobStartHook is called each time before the middleware and the handler of a job. It
// returns ctx, or a context made from it, which middleware and handler get. The
// values of that context are in those of OnJobEnd, OnJobStuck and OnLeaseLost for
// this run, and of its lines in the log. Returning nil keeps ctx.
type JobStartHook interface {
	OnJobStart(ctx context.Context, job *JobInfo) context.Context
}

// JobEndHook is called once for each delivery when its fate was decided, before the
// broker is told, even if the handler was never called: for example because the
// job had expired or is of an unknown kind. Its context does not end with the job. It
// never comes before the OnJobStart of the same run has returned: if a [JobStartHook]
// takes so long that the job is not waited for any more, the handler is not called, and
// OnJobEnd comes when that hook returns, perhaps after the broker was told.
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

// SuspectHook is called each time a worker begins to isolate a job, because it was lost
// with its workers so often that it may be what kills them. The worker then gives back
// what else it holds, waits for what runs, and runs that job with nothing beside it.
type SuspectHook interface {
	OnSuspect(ctx context.Context, e Suspect)
}

// Suspect is a job that is to run alone.
type Suspect struct {
	Job *JobInfo
	// Redeliveries is how often the job was lost with its worker since it was last
	// settled.
	Redeliveries int
}

// LeaseLostHook is called when the broker no longer holds a job for this worker. The
// job may run a second time elsewhere, or may have done so.
type LeaseLostHook interface {
	OnLeaseLost(ctx context.Context, e LeaseLost)
}

// LeaseLost is a job that the broker no longer holds for this worker.
type LeaseLost struct {
	Job *JobInfo
	// Started is true if the handler was called. If it still runs, its context was
	// cancelled with [ErrLeaseLost]. A job that was not started will not be.
	Started bool
}

// CallHook is called after each call to the driver: by a worker, by the methods of a
// queue's handle, and by the functions that take one.
type CallHook interface {
	OnCall(ctx context.Context, c Call)
}

// Call is a call to the driver that has returned.
type Call struct {
	Op    Op
	Queue string
	// Jobs is how many jobs the call was about: those that were passed to it, or that
	// it returned.
	Jobs int
	// Headers are the IDs and the headers of those jobs, in their order, where the core
	// has them: of OpEnqueue, OpImport, OpReceive, OpSettle, OpExtend and OpAbandon. It is
	// nil for other calls. It may be ranged over until OnCall returns, and the headers
	// must not be modified.
	Headers iter.Seq2[string, map[string]string]
	// Duration is how long it took. A receive waits until there are jobs.
	Duration time.Duration
	// Err is the call's error, the first of those of its jobs, or nil. A receive ends
	// with context.Canceled when the worker stops. One without jobs and without an error
	// has looked for more than the worker has slots for, and found none.
	Err error
}

// FaultHook is called each time one of the worker's calls to the broker failed,
// before it tries again.
type FaultHook interface {
	OnFault(ctx context.Context, e Fault)
}

// Fault is a failed call to the broker.
type Fault struct {
	Queue string
	// Op is what failed: OpDeclare, OpConsume, OpReceive, OpSettle, OpExtend, OpStop or
	// OpClose.
	Op Op
	// Jobs is how many jobs the call was about, zero for a receive. Of a settle it is how
	// many of them failed.
	Jobs int
	// Err is the driver's error.
	Err error
	// RetryIn is the wait before the next try, zero if there is none or if it comes at
	// once.
	RetryIn time.Duration
	// Job is the job of a settle that the broker refused as too large ([ErrTooLarge]), if
	// there is a Remedy, and nil otherwise. Remedy is how it is settled instead, at once.
	// What OnJobEnd was told of its Verdict may not come true then.
	Job    *JobInfo
	Remedy Remedy
}
