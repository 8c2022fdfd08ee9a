// Package driver is the interface between batch and a broker: what the author
// of a driver implements, and what the core of batch calls.
//
// Applications do not need this package. They hold a [Driver] value that a
// driver package made and pass it to package batch.
//
// # The division of work
//
// A driver moves jobs to and from one kind of broker, and reports truthfully
// what happened. It never retries, sleeps, or decides what becomes of a job:
// retries, backoff, attempts, timeouts, expiry and dead-lettering are decided
// by the core, which tells the driver through [Consumer.Settle]. A driver that
// hides a failure by trying again takes the decision from the only party that
// knows the caller's deadline.
//
// A driver implements [Driver], and those of the optional interfaces in this
// package whose promise its broker keeps: [Prioritizer], [Delayer],
// [Deduplicator], [Grouper], [AtomicEnqueuer], [Inspector], [Pauser], [Importer],
// [QueueLister], [Purger], [TxEnqueuer]. A capability is never approximated: if the promise cannot be kept, the type
// must not have the methods, so that programs that rely on it do not compile.
// A package may have several driver types if its broker has several kinds of
// queue.
//
// # The contract of every method
//
// The comment on each method answers six questions: may it be called
// concurrently, how long may it block, who owns the slices afterwards, what an
// error says of the broker's state, what happens after Close, and which calls
// are no-ops. The answers that hold throughout, unless a method says otherwise:
//
//   - Concurrency: any method may be called concurrently with any other, and
//     with itself.
//   - Blocking: until the broker answers or ctx ends, whichever is first: a call
//     returns within a tenth of a second of ctx's end, whatever the network and
//     the client library are doing. On a ctx that ended before the call, nothing
//     is sent.
//   - Ownership: slices passed in, and the [Message] structs that they point
//     to, belong to the caller again when the call returns; bodies and headers
//     are never modified by either side, so that a driver may keep them. What a
//     driver returns belongs to the caller.
//   - Errors: an [*Error] whose Fate says what became of the operation. If ctx
//     ended, its error is returned as it is, or as the Kind or Err of an
//     [*Error], so that errors.Is finds it.
//   - Arguments outside the documented bounds, which only a faulty core passes,
//     are errors and have no effect.
//   - A queue that does not exist: an error that wraps [ErrNotFound] with
//     FateNotStored, and nothing is made. Only Declare makes a queue, and
//     DeleteQueue does not miss one. Consume may leave the look to Receive.
//   - What the driver made and somebody removed (an index, a delay queue, a
//     consumer on the server), while the queue itself is still there: it is made
//     again, or is an error that says what to do.
//   - Idle connections: one that the other side has closed is noticed before a
//     call is sent on it.
//   - What a broker says is not believed unseen: numbers are bounded, and bytes
//     that are no answer are an error, never a panic.
//   - Credentials: no error, and no value of the driver in any verb or encoder,
//     shows one.
//   - After Close: every method returns an error that wraps [ErrClosed].
//   - A call with nothing to do (no messages, no settlements) returns at once
//     without error and without a round trip, also after Close.
//
// Package conformance checks all of this on a real broker.
package driver

import (
	"context"
	"time"
)

// Driver is a connection to one broker. The driver's package makes it,
// connected and checked, and it is used until Close.
type Driver interface {
	// Info describes the driver and the broker that it is connected to. It
	// does not block and answers the same after Close.
	Info() Info

	// Declare makes the queue exist, with everything that it needs to keep
	// jobs, to hold retries back and to keep dead letters, so that a job
	// enqueued before any worker ever ran is kept. Declaring a queue that
	// exists is a no-op. A queue of that name that exists with other
	// properties is an error that wraps [ErrConflict], and is left as it is.
	Declare(ctx context.Context, queue string) error

	// DeleteQueue removes the queue with all that it holds: waiting, scheduled
	// and running jobs and dead letters. Consumers that are open on it see
	// their deliveries lost. A queue that does not exist is a no-op.
	DeleteQueue(ctx context.Context, queue string) error

	// Enqueue stores messages on a declared queue. It returns one result for
	// each message, in their order; the error of one says nothing of the
	// others. A result without error is the broker's promise to keep the job:
	// it is given only after the broker confirmed. An error's Fate is
	// NotStored only if that is certain.
	//
	// It takes at most Limits.EnqueueBatch messages and Limits.EnqueueBytes
	// bytes in one call; the core keeps to it. Results may be nil when every
	// message was stored and none was a duplicate.
	Enqueue(ctx context.Context, queue string, messages []*Message) []Result

	// Consume opens a consumer on a declared queue. It does not wait for jobs. On a
	// queue that does not exist it fails, or the consumer's Receive does.
	Consume(ctx context.Context, queue string, options ConsumeOptions) (Consumer, error)

	// Depth counts the jobs of a queue. Its cost does not grow with them. A
	// count that the broker cannot tell is [UnknownCount].
	Depth(ctx context.Context, queue string) (Depth, error)

	// DeadLetters lists dead letters, oldest first, without consuming them:
	// at most max (between 1 and 1000), starting at cursor, which is empty for
	// the first page and else the next of the page before. An empty next means
	// that there are no more. A dead letter that is added or removed while
	// paging may or may not be seen; no other is missed or seen twice.
	DeadLetters(ctx context.Context, queue string, cursor string, max int) (page []DeadLetter, next string, err error)

	// Redrive moves the selected dead letters back to waiting, with failures,
	// bounces and deliveries counted from zero and all else as it was enqueued,
	// priority and group included. Each is stored as waiting before it is
	// removed as dead. It returns how many it moved, even with an error; the
	// error's Fate is about those that it does not count. IDs without a dead
	// letter are not an error.
	Redrive(ctx context.Context, queue string, which Selection) (int, error)

	// Discard removes the selected dead letters for good and returns how many,
	// with errors as in Redrive. IDs without a dead letter are not an error.
	Discard(ctx context.Context, queue string, which Selection) (int, error)

	// Close ends the connection, and the consumers opened on it as if by
	// [Consumer.Close]. It waits for calls under way until ctx ends, then cuts
	// them off. A connection that breaks before or meanwhile has ended, and is no
	// error. A second Close is a no-op.
	Close(ctx context.Context) error
}

// Consumer receives jobs from one queue. What it received is leased to it:
// nobody else is handed the job until the lease ends without having been
// extended, or the job is settled.
type Consumer interface {
	// Lease is how long a delivery is held without [Consumer.Extend]: the core
	// extends everything well within it. Zero means that the broker has no
	// such clock, and holds a delivery as long as the connection lives; Extend
	// then only tells which deliveries are lost. It does not block.
	Lease() time.Duration

	// Receive waits until the queue has at least one job for this consumer and
	// returns at most max of them, without waiting for more than there are. A max
	// that is not from 1 to Limits.ReceiveBatch is an error that wraps [ErrConfig],
	// and takes nothing. If it returns no job, it returns an error. On a
	// [Prioritizer], jobs of a higher level come first. A job that comes back, because
	// its holder vanished or released it, comes before the newer ones of its level
	// where the broker allows that; where it does not, the driver's
	// package comment says so.
	//
	// Up to Limits.Receivers calls run at the same time. When ctx ends the
	// call returns promptly with ctx's error, even if the broker's own
	// blocking call goes on; a job that arrives for a call that has returned
	// is handed to a later one or becomes available again, and is not lost.
	//
	// A request or a wake-up that is lost on the way costs seconds: the driver asks
	// again. After an error that wraps [ErrUnavailable] the consumer goes on: the
	// next call connects anew, once. After [ErrNotFound], the queue having been
	// deleted, it goes on when the queue is declared again.
	//
	// A job that the driver cannot read (a foreign or damaged entry) is moved
	// to the dead letters by the driver with reason [ReasonUnreadable] if it
	// has a body to keep, else dropped, and never blocks those behind it. This
	// is the one case that a driver settles itself: the core never sees the job.
	Receive(ctx context.Context, max int) ([]*Delivery, error)

	// Settle ends deliveries. It returns one error for each settlement, in
	// their order, or nil when all succeeded. A settlement without error is
	// confirmed by the broker.
	//
	// Where an outcome needs a new message in the broker (a retry, a dead
	// letter), it is stored before the old one is removed, or in one
	// transaction: a crash in between may double a job but not lose it.
	//
	// A delivery that was settled before or whose lease was lost is an error
	// that wraps [ErrLeaseLost], and the job's state is not touched; so are all
	// those of a queue that was deleted. Deliveries of another consumer may be
	// refused with this error or settled: the core passes each to its own
	// consumer. After an error with Fate Unknown the same settlement may be tried
	// again; if the first try was carried out, the second says [ErrLeaseLost]. If only the
	// new message was stored in it, as when ctx ends in between, the job is there twice.
	//
	// Settlements are independent. One that the broker refuses, or is slow to take,
	// neither fails the others nor holds them back: what is done is removed before
	// the driver waits for anything to be stored. The core passes [OutcomeDone] in
	// calls of their own, beside those that store, so both must be able to run at
	// one time.
	//
	// A job that no longer fits the broker with the history that a settlement adds
	// is an error that wraps [ErrTooLarge] with FateNotStored, and the delivery is
	// still held. The core tries again with less (see [Settlement.Strip]).
	//
	// It takes at most Limits.SettleBatch settlements.
	Settle(ctx context.Context, settlements []Settlement) []error

	// Extend renews the leases of deliveries, running or only prefetched, by
	// another [Consumer.Lease] from now. It returns one error for each, in
	// their order, or nil when all are held; a lease that is gone is an error
	// that wraps [ErrLeaseLost]. It takes at most Limits.ExtendBatch
	// deliveries.
	Extend(ctx context.Context, deliveries []*Delivery) []error

	// Abandon gives up deliveries that cannot be settled: the caller does nothing
	// more with them. It stores nothing, so that it works on a broker that refuses
	// to. Where a lease is the connection, the broker makes the jobs available again
	// at once, in the order of what it hands out next; where it has a clock, they may
	// stay held until their leases end. Either way Redeliveries may count the loss.
	// Deliveries that are not held are left alone. If ctx ends first, what is left
	// becomes available when the connection ends, at the latest.
	Abandon(ctx context.Context, deliveries []*Delivery)

	// Stop ends receiving: Receive calls under way and later ones return an error
	// that wraps [ErrClosed]. What the broker has handed to this consumer and no
	// Receive returned is given back as by [OutcomeRelease], before Stop returns.
	// Settle and Extend go on for what Receive returned, until Close. If ctx ends
	// first, what is left becomes available when its lease ends, at the latest, or
	// by Close. A second Stop, and one after Close, is a no-op.
	Stop(ctx context.Context) error

	// Close ends the consumer. Receive calls under way return an error that
	// wraps [ErrClosed]. Deliveries that are not settled are not given back by
	// Close; the core releases them before. What the broker still counts as
	// held becomes available when its lease ends, at the latest. A second
	// Close is a no-op.
	Close(ctx context.Context) error
}

// ConsumeOptions are what a consumer is opened with.
type ConsumeOptions struct {
	// Lease is how long a delivery is held without being extended: at least
	// Limits.MinLease, at most Limits.MaxLease. Drivers whose lease is the
	// connection (MaxLease zero) are passed zero.
	Lease time.Duration

	// Prefetch is the largest number of deliveries that the core holds at once:
	// running, buffered and being settled.
	Prefetch int
}

// Info describes a driver and its broker.
type Info struct {
	// Driver is the driver's name, which is its main URL scheme: "redis".
	Driver string
	// Broker is the product that answered: "Redis", "Valkey".
	Broker string
	// Version is the broker's version in its own words, "8.0.2".
	Version string
	// Limits are the bounds that the broker or the driver sets.
	Limits Limits
}

// Limits are the bounds of a driver. The core refuses what exceeds them with a
// typed error before anything is sent. Every field must be set.
type Limits struct {
	// MaxBody is the largest body in bytes.
	MaxBody int
	// MaxHeaders is the largest sum of the header names and values in bytes.
	MaxHeaders int
	// EnqueueBatch and EnqueueBytes bound one Enqueue: messages, and the sum
	// of their bodies and headers in bytes. EnqueueBytes holds at least one
	// message of MaxBody and MaxHeaders.
	EnqueueBatch, EnqueueBytes int
	// Publishers is how many Enqueue calls for one queue are worth having
	// under way at once; at least 1.
	Publishers int
	// ReceiveBatch bounds what one Receive returns.
	ReceiveBatch int
	// Receivers is how many Receive calls of one consumer may be under way at
	// once; at least 1.
	Receivers int
	// Pushes says that the broker hands jobs to a consumer before Receive asks for them,
	// up to ConsumeOptions.Prefetch, as RabbitMQ does. How many jobs a worker holds cannot
	// follow its handlers then.
	Pushes bool
	// SettleBatch and ExtendBatch bound one Settle and one Extend.
	SettleBatch, ExtendBatch int
	// MinLease and MaxLease bound ConsumeOptions.Lease. MaxLease zero means
	// that a lease is the connection, and neither has a meaning.
	MinLease, MaxLease time.Duration
	// MaxRetryDelay bounds Settlement.Delay.
	MaxRetryDelay time.Duration
}

// UnknownCount is a count that the broker cannot tell.
const UnknownCount int64 = -1

// Depth counts the jobs of a queue by state. A count that the broker cannot tell, Due
// included, is [UnknownCount].
type Depth struct {
	// Waiting jobs are ready to be handed out.
	Waiting int64
	// Scheduled jobs are held back until a time: delayed, or between retries.
	Scheduled int64
	// Running jobs are handed out and not settled, those prefetched included.
	Running int64
	// Dead is the number of dead letters.
	Dead int64
	// Due is how many of the Scheduled jobs have reached their time, and wait for
	// a consumer to bring them forth. Zero where the broker does that by itself.
	// What decides how many workers there are has to add it to Waiting: without
	// a worker these jobs would wait for ever.
	Due int64
	// Age is how long the oldest of the Waiting jobs has been waiting, by the
	// broker's clock: since it was enqueued or became ready again. Zero if none
	// waits, and [UnknownAge] if the broker cannot tell.
	Age time.Duration
}

// UnknownAge is an age that the broker cannot tell.
const UnknownAge time.Duration = -1

// Selection names dead letters: all of them, or those with one of the IDs. The
// zero value selects none, so that an empty list by accident does no harm.
type Selection struct {
	All bool
	IDs []string
}
