package driver

import (
	"context"
	"time"
)

// The optional interfaces. A driver type has the methods of those, and only
// those, whose promise it keeps on every broker that it connects to. What only
// the server knows (its version, a plug-in) is checked when the driver is
// opened. Each interface has methods for its limits; the core refuses what
// exceeds them.

// Prioritizer orders waiting jobs by [Message].Level.
//
// Promise: the order is strict. Among waiting jobs one of a higher level is
// always handed out first, whichever was enqueued first. A job keeps its level
// across retries, delays, redeliveries and redrives.
type Prioritizer interface {
	// PriorityLevels is the number of levels that are told apart; 5 for all of
	// Trivial to Critical. It does not block.
	PriorityLevels() int
}

// Delayer holds jobs back for [Message].Delay.
//
// Promise: a job is never handed out early, and no more than a second late on
// an idle broker. Jobs with different delays do not hold each other up. Delays
// survive a restart of the broker as well as jobs do.
type Delayer interface {
	// MaxDelay is the longest delay; at least a year. It does not block.
	MaxDelay() time.Duration
}

// Deduplicator refuses a second job with the same [Message].DedupKey on the
// same queue.
//
// Promise: within the window from the first, a second job is reported as a
// duplicate and is not stored, also after the first has run or died. The window
// is [Message].DedupWithin of the first. A job that is removed without having run
// to its end frees its key: by Inspector.Delete, Purger.Purge, Driver.Discard or
// Driver.DeleteQueue. It frees no key that another job holds by now.
type Deduplicator interface {
	// DedupWindow is how long a key is remembered at most, and if the message
	// does not say. It does not block.
	DedupWindow() time.Duration
}

// Grouper runs the jobs of one [Message].Group one at a time.
//
// Promise: a job of a group is handed out only when every job of the group
// that was enqueued before is done or dead, also when the one before failed
// and waits for its retry. Other groups, and jobs without a group, go on. The
// core refuses a job with both a Group and a Delay.
type Grouper interface {
	// MaxGroups is how many groups may have jobs in a queue at once, or 0
	// where only memory bounds them. It does not block.
	MaxGroups() int
}

// AtomicEnqueuer stores many jobs or none.
type AtomicEnqueuer interface {
	// AtomicLimit is the number of messages that one EnqueueAtomic takes. It
	// does not block.
	AtomicLimit() int

	// EnqueueAtomic stores all messages on a declared queue, or none: an error
	// with Fate NotStored says that none was, one with Fate Unknown that
	// either all were or none. If one of them is a duplicate by its DedupKey,
	// of a stored job or within the call, none is stored, and the error wraps
	// [ErrDuplicate]. It takes at most AtomicLimit messages and
	// Limits.EnqueueBytes bytes.
	EnqueueAtomic(ctx context.Context, queue string, messages []*Message) error
}

// Inspector looks into a queue without consuming its jobs.
type Inspector interface {
	// List returns jobs in one state: at most max (between 1 and 1000),
	// starting at cursor, which is empty for the first page and else the next
	// of the page before. An empty next means that there are no more. Waiting
	// jobs come in the order in which they would be handed out, as far as the
	// broker can tell; scheduled ones by their time; dead ones oldest first. A
	// job that changes its state while paging may be seen twice or not at all;
	// no other is missed.
	List(ctx context.Context, queue string, state State, cursor string, max int) (page []Entry, next string, err error)

	// Find returns the job with this ID if it is waiting, scheduled or dead. A
	// job that is running or does not exist is an error that wraps
	// [ErrNotFound]. It may read the whole queue: it is for people, not for
	// hot paths.
	Find(ctx context.Context, queue string, id string) (Entry, error)

	// Delete removes the job with this ID if it is waiting, scheduled or dead.
	// Its errors and its cost are those of Find. A deleted job of a group lets
	// the group go on. Its DedupKey is free again.
	Delete(ctx context.Context, queue string, id string) error
}

// Pauser stops a queue from handing out jobs.
//
// Promise: when Pause has returned, no Receive of any consumer of any process
// returns a job that it had not been handed before, until Resume. Enqueue,
// delays and settlements go on, and pausing survives as jobs do.
type Pauser interface {
	// Pause stops handing out jobs. Pausing a paused queue is a no-op.
	Pause(ctx context.Context, queue string) error
	// Resume lets jobs be handed out again; waiting Receive calls get them at
	// once. Resuming a queue that is not paused is a no-op.
	Resume(ctx context.Context, queue string) error
	// Paused tells whether the queue is paused.
	Paused(ctx context.Context, queue string) (bool, error)
}

// Importer stores jobs that were on another queue, or on another broker, as they
// were there: for moving a queue, restoring a copy of one, and repairing a job.
type Importer interface {
	// Import stores jobs on a declared queue, each in the State of its entry, with
	// its history: EnqueuedAt, Failures, LastError, Bounces, BouncedSince and
	// Deliveries, and for a dead letter Reason and DeadAt. A scheduled job is held
	// back for its Delay, as after an [OutcomeRetry], whether or not the driver is
	// a [Delayer]; Delay is zero in the other states. A DedupKey is kept with the
	// job, and neither checked nor remembered: an import is never a duplicate. A
	// job of a group goes to the end of its group.
	//
	// The bounds, the results and what an error means are those of
	// [Driver].Enqueue. Importing a job again stores it twice, unless it has an
	// ImportKey and the driver is a [OnceImporter]; no other is passed one.
	Import(ctx context.Context, queue string, entries []*Entry) []Result
}

// OnceImporter is an [Importer] that remembers what it has imported, so that a mover that died
// after it had stored a job does not store it again. It is no capability, since no program
// relies on it: without it such a job is there twice, with the same ID. Every [Importer] that is
// a [Deduplicator] has it.
type OnceImporter interface {
	Importer

	// ImportWindow is for how long Import remembers an [Entry].ImportKey: as long as the
	// driver remembers dedup keys. An entry with a key that was imported into the same queue
	// within that time is not stored, in whatever state and with whatever history it comes, and
	// its Result says Duplicate; also after the first has run, died or been removed. Of two
	// in one call with one key the first is stored. The key is remembered in one step with the
	// storing: there is never one without the other. It is no [Message].DedupKey, and none
	// equals one. DeleteQueue forgets all keys. It does not block.
	ImportWindow() time.Duration

	// ForgetImports forgets keys, so that an entry with one is stored again. It is for jobs
	// that leave the queue for another, from where they may come back. A key that is not
	// remembered is not an error.
	ForgetImports(ctx context.Context, queue string, keys []string) error
}

// QueueLister lists the queues of the broker.
type QueueLister interface {
	// ListQueues returns the names of the queues that Declare made, by this or
	// another program and through this type of driver, sorted. It leaves out what
	// other programs keep on the broker. A queue that is declared or deleted
	// meanwhile may or may not be listed. Its cost may grow with all that the
	// broker holds.
	ListQueues(ctx context.Context) ([]string, error)
}

// Purger removes the jobs that wait in a queue.
type Purger interface {
	// Purge removes every job that was waiting when it was called, and returns how
	// many. Jobs that are scheduled or running and dead letters stay; one that
	// becomes waiting meanwhile may or may not be removed. An error's Fate is about
	// those that the number does not count. Groups go on, and a removed job's
	// DedupKey is free again. Consumers go on.
	Purge(ctx context.Context, queue string) (int, error)
}
