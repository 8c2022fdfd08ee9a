// Package batch runs background jobs on the broker you already run.
// Applications define typed jobs, enqueue them on queues and run workers. You
// pick the driver where you put the program together, and nothing else changes
// when you swap it. What a broker cannot do does not compile.
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
// Keep it small and free of secrets, and let it refer to things by ID: a copy is
// as old as the job. JSON is the default [Codec]; [WithCodec] sets another one
// for a queue, and WorkerConfig.Codecs lists those that a worker can decode.
//
// # Queues
//
// A [Queue] is a handle on a named queue of a driver:
//
//	emails := batch.NewQueue(d, "emails")
//	receipt, err := emails.Enqueue(ctx, Welcome{UserID: 7})
//
// [Queue.Enqueue] returns without error only when the broker has promised to
// keep the job. It declares the queue first, so a job that is enqueued before
// any worker has ever run is kept. Concurrent calls share round trips: a call on
// an idle connection is sent at once, and calls that arrive while a request is
// under way are sent together in the next one.
//
// [Queue.EnqueueMany] stores many jobs with a result for each, and
// [EnqueueAtomic] stores all or none. [WithEnqueueTimeout] bounds how long an enqueue
// waits for the broker.
//
// [Queue.Depth] counts a queue's jobs by state, and [Queue.Exists] tells whether it is
// there: only an enqueue, an import, a worker and [Queue.Declare] make a queue, and what
// reads one that does not exist returns an error that wraps [ErrNotFound]. [Admin] gives a tool a
// handle on any queue, without type parameter, and [AdminQueues] lists the queues.
//
// # Workers
//
// A [Worker] runs the jobs of one or more queues with the handlers it was given:
//
//	w := batch.NewWorker(d, batch.WorkerConfig{
//		Queues: []batch.WorkerQueue{{Name: "emails", Concurrency: 20}},
//	})
//	batch.Handle(w, func(ctx context.Context, job *batch.Job[Welcome]) error {
//		return send(ctx, job.Args.UserID)
//	})
//	err := w.Run(ctx)
//
// The handler of a kind can have its own retry policy ([HandleRetry]), timeout
// ([HandleTimeout]) and number of attempts ([HandleMaxAttempts]), and run jobs of
// older names of its kind ([HandleAliases]). [Middleware]
// wraps all handlers of a worker, and [WithEnqueueMiddleware] the enqueues of a
// queue's handle.
//
// # Capability sets
//
// Brokers differ. What all of them can do is [Driver]. What only some can do are
// interfaces that embed it: [Prioritizer], [Delayer], [Deduplicator], [Grouper],
// [AtomicEnqueuer], [Inspector], [Pauser], [Importer], [QueueLister], [Purger] and
// [TxEnqueuer]. A driver implements those whose promise it keeps on every broker that
// it connects to, and no others.
//
// D in Queue[D] is the queue's capability set: the driver's own type, or an
// interface with what your program relies on.
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
// says what is missing and which drivers have it. [Capabilities] lists what a
// driver has, and [As] gives the queue another capability set if its driver has that.
//
// # Options
//
// An [Option] says how one job is enqueued. It is made for a queue, and does not
// compile on a queue with another capability set. [ID], [Header], [Headers],
// [MaxAttempts], [Timeout] and [ExpiresIn] work on every broker. These need a
// capability:
//
//   - [Priority], one of five levels: [Prioritizer]
//   - [Delay] and [At]: [Delayer]
//   - [Unique] and [UniqueWithin], which refuse a second job with the same key:
//     [Deduplicator]
//   - [Group], whose jobs run one at a time and in order: [Grouper]
//
// A program that runs on any broker can ask for them where available:
// [PriorityIfSupported], [DelayIfSupported], [AtIfSupported], [UniqueIfSupported],
// [UniqueWithinIfSupported] and [GroupIfSupported] compile on every queue, and
// Receipt.NotApplied names those that were left out. docs/portable.md has an example.
//
// [Queue.With] gives a handle on the queue whose jobs all have some options.
// [Queue.Prepare] checks and encodes a job that is sent later, from an outbox for
// example. [Raw] are args that are encoded already.
//
// These functions on queues need a capability too: [EnqueueAtomic]
// ([AtomicEnqueuer]); [ListJobs], [FindJob] and [DeleteJob] ([Inspector]); [Pause],
// [Resume] and [Paused] ([Pauser]); [Import] and [RedriveWithBody] ([Importer]);
// [Purge] ([Purger]). [ListQueues], of a driver, needs a [QueueLister].
//
// # Transactions
//
// On a [TxEnqueuer], which is a broker in the application's own database, a job and
// the data that it is about are stored together: [EnqueueTx] and [EnqueueManyTx] take a
// transaction of the application, and the job exists from its commit on; [EnqueuePreparedTx]
// does so with jobs of [Queue.Prepare]. A handler ends
// its job in the transaction of its effect with [CompleteTx], so that the effect comes
// once, however often workers die. Where the workers have another broker, package move takes the
// jobs there; where the database is no broker, package outbox does so. docs/outbox.md has all three.
//
// # Outcomes
//
// What a handler returns decides what becomes of its job:
//
//   - nil: the job is done, and removed from the queue.
//   - an error, or a panic: a failure, which spends an attempt. The job is tried
//     again after the backoff of the [RetryPolicy] ([ExponentialBackoff] with full jitter
//     by default; [ConstantBackoff] and [RetryFunc] are others), and becomes a dead
//     letter when it has failed MaxAttempts times, 25 by default.
//   - [RetryAfter]: also a failure, with a delay of the handler's choice.
//   - [Permanent]: a failure that makes the job a dead letter at once.
//   - [Snooze]: the job comes back later, and no attempt is spent.
//
// When a handler exceeds the job's timeout (30 minutes by default), its context is
// cancelled with [ErrTimeout] as the cause. If it then returns an error, the job
// has failed; if it returns nil, the job is done. If it does not return at all, it
// is reported as stuck after WorkerConfig.StuckAfter, the job has failed, and its
// slot is given to another job.
//
// [OutcomeOf] reads what an error asks for.
//
// A job whose body does not decode becomes a dead letter at once. A job of a kind
// that the worker does not know is put back and comes again within a minute, as a
// newer worker may know it; so is one whose body the codec cannot decode yet
// ([Unreadable]). That spends no attempt, and goes on for up to
// WorkerConfig.BounceTimeout. A job that keeps killing its workers becomes a dead
// letter after WorkerConfig.MaxRedeliveries. When it was lost three times at the most,
// it is run with no other job in the worker, so that it takes no others with it.
// docs/states.md has all of this in one table.
//
// Dead letters are kept, with their history, until you redrive or delete them:
// see [Queue.DeadLetters].
//
// # Delivery guarantee
//
// A job that was enqueued without error runs at least once. It leaves the broker
// only when its handler has returned nil, or for the dead letters. It can run more
// than once: when a worker dies before the broker has heard that the job is done,
// when a worker that is cut off from the broker loses its leases, or when you
// repeat an enqueue whose fate is unknown. So handlers must be idempotent, by the
// job's ID or a key in its args. Package
// [github.com/batch-go/batch/idempotency] helps, and docs/concepts.md says how.
//
// A worker extends the lease of every job it holds, for as long as that takes. A job
// that waits for a slot for too long it gives back instead, unless you have set how
// many it prefetches. If a lease is lost nevertheless, the handler's context is
// cancelled with [ErrLeaseLost].
//
// How well a stored job survives the death of the broker itself depends on how the
// broker is configured. A driver passes on the broker's promise and does not
// improve it.
//
// # Shutdown
//
// [Worker.Run] works until its context ends. It then receives no more jobs, gives
// back those that have not started, and lets those that have finish. Handlers that
// still run when the time is nearly up are cancelled with [ErrShutdown], and their
// jobs given back. None of this spends an attempt, nor is it an error. All of it, with
// telling the broker, ends within WorkerConfig.StopTimeout. [Worker.Start] and
// [Worker.Stop] do the same in two calls. Close the driver where you opened it, after
// its workers have stopped.
//
// A worker that starts while the broker is away tries again for
// WorkerConfig.StartTimeout. One that runs tries again until it is stopped.
//
// # Errors
//
// Every error says what is known. A mistake in the program, such as a name or an
// option that is out of bounds, is an [*InvalidError] that names the field, the
// value and the bound, and wraps [ErrInvalid]; nothing was sent. If the broker did
// not confirm a job, the error is an [*EnqueueError], whose Fate says whether the
// job may be stored nevertheless: [FateNotStored] or [FateUnknown]. It wraps the
// driver's error, which wraps one of [ErrUnavailable], [ErrUnauthorized],
// [ErrNotFound], [ErrConflict], [ErrTooLarge], [ErrFull], [ErrClosed] and the like.
//
// What a broker cannot do is refused before anything is sent; nothing is silently
// ignored, clamped or dropped. There is one exception: a retry's delay that is
// longer than the driver can hold a job back is shortened, and Verdict.Capped
// reports it.
//
// # Hooks and the log
//
// A [Hook] watches what happens, for metrics, traces and logs. It is any value
// that implements one or more of [EnqueueStartHook], [EnqueueEndHook], [JobStartHook],
// [JobEndHook], [JobStuckHook], [SuspectHook], [LeaseLostHook], [CallHook], [FaultHook]
// and [WorkerStateHook]. Pass hooks to a queue with [WithHooks] and to a worker in
// WorkerConfig.Hooks. The context that a hook returns when an enqueue or a job
// starts is the one that the rest of it gets. A hook that panics is logged, and
// changes nothing.
//
// A worker writes to WorkerConfig.Log, which is slog.Default() unless you set it,
// whatever hooks it has. When the broker cannot be reached it says so once, every 30
// seconds, and once when the broker is back.
//
// [Worker.AddHooks] is for a worker that other code made. Do not wrap drivers: a wrapper
// loses the optional interfaces that its driver has.
//
// # Tests
//
// Package [github.com/batch-go/batch/batchtest] calls handlers with jobs that it makes,
// asserts on what was enqueued, and runs workers in fake time until all is quiet.
// docs/testing.md shows how.
//
// # Writing a driver
//
// Package [github.com/batch-go/batch/driver] is the interface that a driver
// implements. It states the contract of each method and the promise of each
// capability. docs/drivers.md walks through the steps, and package
// [github.com/batch-go/batch/conformance] checks the result.
package batch
