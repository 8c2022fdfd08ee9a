// Package batch runs background jobs on the broker that a program's owners
// already run. Applications define typed jobs, enqueue them on queues and run
// workers. The driver is picked where the program is put together, and nothing
// else changes when it is swapped. What a broker cannot do does not compile.
//
// # Jobs
//
// A job is a value of a type with a stable name, its kind:
//
//	type Welcome struct {
//		UserID int `json:"user_id"`
//	}
//
//	func (Welcome) Kind() string { return "email.welcome" }
//
// The value, its [Args], is encoded when the job is enqueued and decoded by the
// worker, perhaps in another process that runs another version of the program.
// So it should be small, hold no secrets, and name things by their IDs instead of
// holding copies of them: a copy is as old as the job. JSON is the default
// [Codec]; [WithCodec] sets another for a queue, and WorkerConfig.Codecs lists
// those that a worker can decode.
//
// # Queues
//
// A [Queue] is a handle on a named queue of a driver:
//
//	emails := batch.NewQueue(d, "emails")
//	receipt, err := emails.Enqueue(ctx, Welcome{UserID: 7})
//
// [Queue.Enqueue] returns without error only when the broker has promised to
// keep the job, and declares the queue before, so that a job enqueued before any
// worker ever ran is kept. Concurrent calls share round trips to the broker: a
// call on an idle connection leaves at once, and what arrives while a request is
// under way leaves with the next.
//
// [Queue.EnqueueMany] stores many jobs with a result for each, and
// [EnqueueAtomic] all or none. [Queue.Depth] counts a queue's jobs by state.
// [WithEnqueueTimeout] bounds how long an enqueue waits for the broker.
//
// # Workers
//
// A [Worker] runs the jobs of one or more queues with the handlers that were
// given to it:
//
//	w := batch.NewWorker(d, batch.WorkerConfig{
//		Queues: []batch.WorkerQueue{{Name: "emails", Concurrency: 20}},
//	})
//	batch.Handle(w, func(ctx context.Context, job *batch.Job[Welcome]) error {
//		return send(ctx, job.Args.UserID)
//	})
//	err := w.Run(ctx)
//
// Handlers of a kind may have a retry policy ([HandleRetry]), a timeout
// ([HandleTimeout]) and a number of attempts ([HandleMaxAttempts]) of their own.
// [Middleware] wraps all handlers of a worker.
//
// # Capability sets
//
// Brokers differ. What all of them can do is [Driver]; what only some can do are
// interfaces that embed it: [Prioritizer], [Delayer], [Deduplicator], [Grouper],
// [AtomicEnqueuer], [Inspector] and [Pauser]. A driver implements those whose
// promise it keeps on every broker that it connects to, and no others.
//
// D in Queue[D] is a queue's capability set: the driver's own type, or an
// interface with what the program relies on.
//
//	type Broker interface { // my program's capability set
//		batch.Prioritizer
//		batch.Delayer
//	}
//
//	emails := batch.NewQueue[Broker](d, "emails")
//	emails.Enqueue(ctx, Welcome{UserID: 7}, batch.Priority(emails, batch.High))
//
// On a driver without priorities this does not compile: "D (type *x.Driver) does
// not satisfy batch.Prioritizer (missing method PriorityLevels)". A broker that is
// picked at run time is checked when the program starts:
//
//	d, err := batch.Open[Broker](ctx, os.Getenv("BATCH_URL"))
//
// [Open] finds the driver by the URL's scheme among those whose packages are
// imported. If the broker lacks something, the error is a [*CapabilityError] that
// says what, and which drivers have it. [Capabilities] names what a driver has.
//
// # Options
//
// An [Option] says how one job is enqueued. It is made for a queue, and one that
// was made for a queue of another capability set does not compile. On every
// broker there are [ID], [Header], [Headers], [MaxAttempts], [Timeout] and
// [Expiry]. These need a capability:
//
//   - [Priority], one of five levels: [Prioritizer]
//   - [Delay] and [At]: [Delayer]
//   - [Unique], so that a second job with a key is not stored: [Deduplicator]
//   - [Group], whose jobs run one at a time and in order: [Grouper]
//
// And these functions on queues do: [EnqueueAtomic] ([AtomicEnqueuer]); [List],
// [Find] and [Delete] ([Inspector]); [Pause], [Resume] and [Paused] ([Pauser]).
//
// # Outcomes
//
// What a handler returns decides what becomes of its job:
//
//   - nil: done, and removed from the queue.
//   - an error, or a panic: a failure, which spends an attempt. The job is tried
//     again after the backoff of the [RetryPolicy] ([Exponential] with full jitter
//     by default; [Constant] and [RetryFunc] are others), and becomes a dead
//     letter when it has failed MaxAttempts times, which defaults to 25.
//   - [RetryAfter]: a failure too, with a delay of the handler's choice.
//   - [Permanent]: a failure that makes the job a dead letter at once.
//   - [Snooze]: the job comes back later, and no attempt is spent.
//
// A handler that runs for longer than the job's timeout (30 min by default) has
// its context cancelled with [ErrTimeout] as the cause. If it then returns an
// error, the job failed; if it returns nil, the job is done. If it does not
// return at all it is reported as stuck after WorkerConfig.StuckAfter, and its
// slot is given to another job.
//
// A body that does not decode makes a dead letter at once. A job of a kind that a
// worker does not know is put back with a backoff, as a newer worker may know it.
// A job that keeps killing its workers becomes a dead letter after
// WorkerConfig.MaxRedeliveries. docs/states.md has all of it as one table.
//
// Dead letters are kept, with their history, until somebody redrives or deletes
// them: see [Queue.DeadLetters].
//
// # Delivery guarantee
//
// A job that was enqueued without error is run at least once. It is removed from
// the broker only when its handler returned nil, or moved to the dead letters. It
// can run more than once: when a worker dies before the broker has heard that the
// job is done, when a lease is lost because a worker was cut off from the broker,
// or when an enqueue whose fate is unknown is repeated. So handlers must be
// idempotent, by the job's ID or a key in its args. Package
// [github.com/batch-go/batch/idempotency] helps, and docs/concepts.md says how.
//
// While a job is held its lease is extended, whether it is running or only
// prefetched, however long it takes. A lease that is lost all the same cancels the
// handler's context with [ErrLeaseLost].
//
// How well a stored job survives the broker's own death is the broker's
// configuration. A driver reports the broker's promise and does not improve it.
//
// # Shutdown
//
// [Worker.Run] works until its context ends. It then receives no more, gives back
// what has not started, and lets what has started finish, for up to
// WorkerConfig.DrainTimeout. Handlers that still run are then cancelled with
// [ErrShutdown], and their jobs given back. None of this spends an attempt.
// [Worker.Start] and [Worker.Stop] do the same in two calls. The driver is closed
// by whoever opened it, after its workers have stopped.
//
// # Errors
//
// Every error says what is known. A mistake of the program, a name or option out
// of its bounds, wraps [ErrInvalid] and is an [*InvalidError] that names the field,
// the value and the bound; nothing was sent. A job that the broker did not confirm
// is an [*EnqueueError], whose Fate tells whether it may be stored all the same:
// [FateNotStored] or [FateUnknown]. Below it is the driver's error, which wraps one
// of [ErrUnavailable], [ErrUnauthorized], [ErrNotFound], [ErrConflict],
// [ErrTooLarge], [ErrFull], [ErrClosed] and the like.
//
// What a broker cannot do is refused before anything is sent; nothing is silently
// ignored, clamped or dropped. The one thing that is shortened is a retry's delay
// beyond what the driver can hold, and Verdict.Capped reports it.
//
// # Hooks
//
// A [Hook] watches what happens, for logs, metrics and traces. It is any value
// that implements one or more of [EnqueueStarter], [EnqueueEnder], [JobStarter],
// [JobEnder], [JobStuckWatcher], [LeaseLossWatcher], [FaultWatcher] and
// [WorkerWatcher]. Queues take hooks with [WithHooks], workers by
// WorkerConfig.Hooks. [Log] is one that writes to a slog.Logger, and what a worker
// uses unless it is told otherwise.
//
// There is no wrapping of drivers: a wrapper would lose the optional interfaces
// that its driver has.
//
// # Writing a driver
//
// Package [github.com/batch-go/batch/driver] is the interface that a driver
// implements. It states the contract of each method and the promise of each
// capability; docs/drivers.md goes through the steps, and package
// [github.com/batch-go/batch/conformance] checks the result.
package batch
