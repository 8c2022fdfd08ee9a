package driver

import (
	"context"
	"reflect"
)

// Transactional is the part of [TxEnqueuer] that does not depend on the type of
// its transactions.
type Transactional interface {
	// TxType is the type of the transactions that the driver takes, pgx.Tx for
	// example. It does not block.
	TxType() reflect.Type
}

// TxEnqueuer stores and ends jobs in transactions of the application, of type T,
// that are of the database that has the queues.
//
// Promise: what a call did takes effect when the application commits the
// transaction, together with all else in it, and never if the transaction is
// rolled back. What was committed is handed out at once, as after Enqueue. The
// promises of the driver's other capabilities hold for what a transaction stores,
// from its commit on; delays count from the call.
//
// Neither method begins, commits or rolls back tx, and neither is called
// concurrently with any other use of the same tx.
type TxEnqueuer[T any] interface {
	Transactional

	// EnqueueTx stores messages on a declared queue as part of tx. It returns one
	// result for each, in their order, or nil when none is a duplicate; results
	// have no errors. An error says that nothing of the call is part of tx, and
	// that the database may refuse all but a rollback of tx, or of the savepoint
	// that it was at. Whether a job with a DedupKey is a duplicate may depend on
	// another transaction that is open: then the call waits until that one has
	// ended or ctx ends. If two wait for each other, one of them gets an error.
	// EnqueueAtomic waits too. Enqueue does not: a message with such a key is
	// refused, alone and at once, with an error that wraps [ErrKeyHeld] and has
	// FateNotStored, and the core sends it again until it is known.
	//
	// A transaction of another database than that of the driver is an error that
	// wraps [ErrConfig]; nothing is stored there. The bounds are those of
	// [Driver].Enqueue.
	EnqueueTx(ctx context.Context, tx T, queue string, messages []*Message) ([]Result, error)

	// CompleteTx removes the job of a delivery as part of tx, as Settle does with
	// [OutcomeDone]. While tx is open nobody is handed the job, whether or not its
	// lease ends meanwhile. If tx is rolled back, the delivery is held as before,
	// for what is left of its lease. A delivery that was settled or whose lease was
	// lost is an error that wraps [ErrLeaseLost], and tx goes on without a change:
	// the caller rolls it back, as another holder may have the job.
	//
	// A delivery of another database, or of other queues of the same one, is an error
	// that wraps [ErrConfig], whatever its queue is called there and here: no job is
	// touched, and tx goes on without a change. Settle and Extend refuse such a delivery
	// too, with that error or with [ErrLeaseLost].
	//
	// While tx is open, [Consumer].Extend counts the delivery as held, and Settle
	// refuses it, alone and at once, with an error that wraps [ErrUnavailable] and has
	// FateNotStored. After the commit Settle and Extend say [ErrLeaseLost].
	CompleteTx(ctx context.Context, tx T, delivery *Delivery) error
}

// TxTrier is what a [TxEnqueuer] has if its transactions can be tried without one of an
// application, for a diagnosis. It is no capability.
type TxTrier interface {
	Transactional

	// TryTx stores messages on a declared queue as part of a transaction that it begins,
	// and then commits or rolls back, as commit says. Its errors are those of EnqueueTx;
	// that of a commit may have FateUnknown.
	TryTx(ctx context.Context, queue string, messages []*Message, commit bool) error
}
