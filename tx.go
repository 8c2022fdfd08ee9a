package batch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
)

// EnqueueTx stores a job as part of a transaction of the application: the job
// exists from the commit on, and never if tx is rolled back. The type of tx is
// that of the driver, and is inferred: with driver/postgres pgx.Tx, or *sql.Tx on a
// queue of its SQL, and with driver/memory, for tests, *memory.Tx.
//
//	tx, err := pool.Begin(ctx)
//	...
//	_, err = batch.EnqueueTx(ctx, tx, orders, ConfirmOrder{ID: id})
//	...
//	err = tx.Commit(ctx)
//
// The queue is declared first, outside of tx; if it was deleted since, the error wraps
// [ErrNotFound], and the next call declares it again. The call shares no request with
// others, and is not repeated. An error is as that of [Queue.Enqueue] with [FateNotStored]:
// nothing of the job is part of tx, and the database may take nothing but a rollback
// from then on: return it and roll back. Only after one that wraps [ErrInvalid], of which
// nothing was sent, tx can go on. The receipt is a promise only when tx is committed, and so is what
// hooks are told. With [Unique], a call may wait for another transaction that is open
// and has stored a job with the same key, as only its end tells whether this one is a
// duplicate. [Queue.Enqueue] waits too, until the enqueue timeout, and then its error wraps
// [ErrKeyHeld].
//
// tx must be of the database of the driver; that of another is an error that wraps
// [ErrConfig]. Tx must not be used concurrently.
func EnqueueTx[D TxEnqueuer[T], T any](ctx context.Context, tx T, q *Queue[D], args Args, options ...Option[D]) (Receipt, error) {
	o := q.draft(args, options)
	if o.err != nil {
		return Receipt{}, o.err
	}
	receipts, err := q.producer.enqueueAll(ctx, []outgoing{o}, once, func(ctx context.Context, messages []*driver.Message) ([]driver.Result, error) {
		return q.driver.EnqueueTx(ctx, tx, q.name, messages)
	})
	if err != nil {
		return Receipt{}, err
	}
	return receipts[0], nil
}

// EnqueueManyTx is [EnqueueTx] for many jobs, in one call of the driver. Either all
// are part of tx, apart from duplicates, which their receipts tell of, or none is.
// The driver's limits for one request bound their number and the sum of their sizes.
func EnqueueManyTx[D TxEnqueuer[T], T any](ctx context.Context, tx T, q *Queue[D], requests []Request[D]) ([]Receipt, error) {
	return enqueueManyTx(ctx, tx, q, len(requests), func(i int) outgoing {
		return q.draft(requests[i].Args, requests[i].Options)
	})
}

// EnqueuePreparedTx is [EnqueueTx] for prepared jobs, as [Queue.EnqueuePrepared] sends them, in one
// call of the driver: either all are part of tx, apart from duplicates, or none is. So an outbox
// that is a table of the database of the jobs is emptied in one transaction: what reads and deletes
// the rows also stores the jobs.
func EnqueuePreparedTx[D TxEnqueuer[T], T any](ctx context.Context, tx T, q *Queue[D], jobs ...*Prepared) ([]Receipt, error) {
	return enqueueManyTx(ctx, tx, q, len(jobs), func(i int) outgoing { return jobs[i].outgoing(q.driver) })
}

// enqueueManyTx stores the n jobs that draft makes as part of tx.
func enqueueManyTx[D TxEnqueuer[T], T any](ctx context.Context, tx T, q *Queue[D], n int, draft func(int) outgoing) ([]Receipt, error) {
	jobs := make([]outgoing, n)
	for i := range jobs {
		jobs[i] = draft(i)
		if err := jobs[i].err; err != nil {
			return nil, fmt.Errorf("job %d of %d: %w", i+1, n, err)
		}
	}
	p := q.producer
	if most := p.info.Limits.EnqueueBatch; n > most {
		return nil, invalid("number of jobs", fmt.Sprint(n), fmt.Sprintf("at most %d in one call within a transaction on %s", most, p.info.Driver))
	}
	return p.enqueueAll(ctx, jobs, once, func(ctx context.Context, messages []*driver.Message) ([]driver.Result, error) {
		return q.driver.EnqueueTx(ctx, tx, q.name, messages)
	})
}

// CompleteTx ends the job that a handler runs, as part of a transaction of the
// application: what the handler does in tx and the end of the job are committed
// together. If the worker dies at any time, both have happened or neither, and no
// second run finds the effect of the first.
//
//	func (s *shop) pay(ctx context.Context, job *batch.Job[Pay]) error {
//		tx, err := s.pool.Begin(ctx)
//		...
//		if err := batch.CompleteTx(ctx, tx, s.payments, job); err != nil {
//			return err // with a deferred rollback
//		}
//		return tx.Commit(ctx)
//	}
//
// q is a handle on the job's queue, on the same database as the worker's driver: on
// another, or with other queues, the error wraps [ErrConfig], as it does with a tx of
// another database, and no job is touched. If the job's lease was lost, the error wraps [ErrLeaseLost], and tx is as it was: the
// handler must roll it back, as the job is another worker's. Any other error is that
// of the database, which may take nothing but a rollback. Either is returned by the
// handler, and so is an error of the commit: the job is tried again, unless the commit
// was carried out and only its answer was lost.
//
// After the commit the job is done whatever the handler returns. If it returns nil and
// tx was not committed, the job has failed with [ErrUncommitted] and is retried as
// after any failure; hooks were told by then that it is done, and OnFault tells them
// otherwise. A job that no worker has received, as that of a test, is an
// error that wraps [ErrInvalid].
func CompleteTx[D TxEnqueuer[T], T any, A Args](ctx context.Context, tx T, q *Queue[D], job *Job[A]) error {
	if job == nil || job.JobInfo == nil || job.held == nil {
		return invalid("job", "that no worker received", "one that a handler was called with")
	}
	if job.Queue != q.name {
		return invalid("queue", quote(q.name), "that of the job, "+quote(job.Queue))
	}
	// Before the call: whatever its answer, the job may be gone with a commit.
	delivery := job.held.completing()
	if delivery == nil {
		return fmt.Errorf("batch: complete job %s on queue %s: %w", job.ID, q.name, ErrLeaseLost)
	}
	start := time.Now()
	err := q.driver.CompleteTx(ctx, tx, delivery)
	onJobsCall(ctx, &q.producer.hooks, OpSettle, q.name, []*driver.Delivery{delivery}, ofDelivery, start, err)
	if errors.Is(err, ErrLeaseLost) {
		job.held.notCompleting()
	}
	return err
}
