package conformance

import (
	"context"
	"errors"
	"reflect"
	"sync/atomic"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// Transactions begins transactions as an application does, for the cases on
// driver.TxEnqueuer. [TransactionsOf] makes it.
type Transactions struct {
	of    reflect.Type // their type
	taken func(driver.Driver) bool
	begin func(ctx context.Context) (*transaction, error)
}

// TxEnd is how a transaction ends: by one of its functions, which the suite calls once. Each
// returns when the database has answered. Both must be set.
type TxEnd struct {
	// Commit commits the transaction. Its error says that it may not have been.
	Commit func(ctx context.Context) error
	// Rollback rolls it back. The suite also does that after an error, when the database
	// may have given it up already: the error does not count then.
	Rollback func(ctx context.Context) error
}

// TransactionsOf makes the field Transactions of a [Harness] from a function that begins a
// transaction of an application, outside of the driver, with the database's usual level of
// isolation:
//
//	Transactions: conformance.TransactionsOf(func(ctx context.Context) (pgx.Tx, conformance.TxEnd, error) {
//		tx, err := pool.Begin(ctx)
//		if err != nil {
//			return nil, conformance.TxEnd{}, err
//		}
//		return tx, conformance.TxEnd{Commit: tx.Commit, Rollback: tx.Rollback}, nil
//	}),
//
// T must be the type that the driver's TxType says. The function is called concurrently, and
// twelve transactions may be open at once in each of the cases that run at the same time: it
// may wait for a place. After Harness.Restart it must reach the broker again.
func TransactionsOf[T any](begin func(ctx context.Context) (tx T, end TxEnd, err error)) *Transactions {
	taken := func(d driver.Driver) bool { _, ok := d.(driver.TxEnqueuer[T]); return ok }
	return &Transactions{of: reflect.TypeFor[T](), taken: taken, begin: func(ctx context.Context) (*transaction, error) {
		tx, end, err := begin(ctx)
		if err != nil {
			return nil, err
		}
		if end.Commit == nil || end.Rollback == nil {
			return nil, errors.New("conformance: a function of TransactionsOf returned a TxEnd without Commit or Rollback")
		}
		return &transaction{
			end: end,
			enqueueTx: func(ctx context.Context, d driver.Driver, queue string, messages []*driver.Message) ([]driver.Result, error) {
				return bare(d).(driver.TxEnqueuer[T]).EnqueueTx(ctx, tx, queue, messages)
			},
			completeTx: func(ctx context.Context, d driver.Driver, delivery *driver.Delivery) error {
				return bare(d).(driver.TxEnqueuer[T]).CompleteTx(ctx, tx, delivery)
			},
			enqueue: func(ctx context.Context, d driver.Driver, queue string, jobs ...txJob) ([]batch.Receipt, error) {
				return enqueueTx(ctx, bare(d).(batch.TxEnqueuer[T]), tx, queue, jobs)
			},
			complete: func(ctx context.Context, d driver.Driver, job *batch.JobInfo) error {
				q, err := batch.TryNewQueue(bare(d).(batch.TxEnqueuer[T]), job.Queue)
				if err != nil {
					return err
				}
				return batch.CompleteTx(ctx, tx, q, &batch.Job[batch.Raw]{JobInfo: job})
			},
		}, nil
	}}
}

// enqueueTx enqueues jobs as an application does: one by one if there is one, else together.
func enqueueTx[T any](ctx context.Context, d batch.TxEnqueuer[T], tx T, queue string, jobs []txJob) ([]batch.Receipt, error) {
	q, err := batch.TryNewQueue(d, queue)
	if err != nil {
		return nil, err
	}
	if len(jobs) == 1 {
		receipt, err := batch.EnqueueTx(ctx, tx, q, jobs[0].args, batch.ID(q, jobs[0].id))
		return []batch.Receipt{receipt}, err
	}
	requests := make([]batch.Request[batch.TxEnqueuer[T]], len(jobs))
	for i, j := range jobs {
		requests[i].Args = j.args
		requests[i].Options = []batch.Option[batch.TxEnqueuer[T]]{batch.ID(q, j.id)}
	}
	return batch.EnqueueManyTx(ctx, tx, q, requests)
}

// txJob is a job to enqueue in a transaction.
type txJob struct {
	args batch.Args
	id   string
}

// transaction is one that is open, or was.
type transaction struct {
	end   TxEnd
	ended atomic.Bool
	// enqueueTx and completeTx are the calls of the driver, and enqueue and complete those of
	// package batch, each with the transaction.
	enqueueTx  func(ctx context.Context, d driver.Driver, queue string, messages []*driver.Message) ([]driver.Result, error)
	completeTx func(ctx context.Context, d driver.Driver, delivery *driver.Delivery) error
	enqueue    func(ctx context.Context, d driver.Driver, queue string, jobs ...txJob) ([]batch.Receipt, error)
	complete   func(ctx context.Context, d driver.Driver, job *batch.JobInfo) error
}

// commit commits the transaction.
func (t *transaction) commit(ctx context.Context) error {
	t.ended.Store(true)
	return t.end.Commit(ctx)
}

// rollback rolls the transaction back, unless it has ended.
func (t *transaction) rollback(ctx context.Context) error {
	if t.ended.Swap(true) {
		return nil
	}
	return t.end.Rollback(ctx)
}

// txEnqueuer is the name of the capability.
const txEnqueuer = "TxEnqueuer"
