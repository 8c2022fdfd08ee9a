package batchtest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/batchtest"
	"github.com/batch-go/batch/driver/memory"
)

// Payment is what follows an invoice.
type Payment struct{ Invoice string }

// Kind names it.
func (Payment) Kind() string { return "payment" }

// transaction is what a till needs of one: pgx.Tx has it, and so has *memory.Tx.
type transaction interface {
	Commit(ctx context.Context) error
	Rollback(ctx context.Context) error
}

// till is code that commits a job with its effect. T is pgx.Tx in production.
type till[D batch.TxEnqueuer[T], T transaction] struct {
	begin              func(ctx context.Context) (T, error)
	invoices, payments *batch.Queue[D]
	print              func(Invoice) error
}

// book is the handler of invoices.
func (c *till[D, T]) book(ctx context.Context, job *batch.Job[Invoice]) error {
	tx, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) // nothing after a commit
	if _, err := batch.EnqueueTx(ctx, tx, c.payments, Payment{Invoice: job.ID}); err != nil {
		return err
	}
	if err := c.print(job.Args); err != nil {
		return err
	}
	if err := batch.CompleteTx(ctx, tx, c.invoices, job); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// A handler with transactions of the application is tested on those of the memory driver. The
// code under test does not name them: their type is a parameter.
func TestTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.New()
		printed := 0
		c := &till[*memory.Driver, *memory.Tx]{
			begin:    d.Begin,
			invoices: batch.NewQueue(d, "invoices"),
			payments: batch.NewQueue(d, "payments"),
			print: func(Invoice) error {
				if printed++; printed == 1 {
					return errors.New("the printer is busy")
				}
				return nil
			},
		}
		w := batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "invoices"}}, Log: silent})
		batch.Handle(w, c.book)
		if err := c.payments.Declare(t.Context()); err != nil {
			t.Fatal(err)
		}
		enqueue(t, c.invoices, "one", Invoice{Customer: 7})
		results := batchtest.Drain(t, d, w)
		if len(results) != 2 {
			t.Fatalf("there are %d results, want that of the attempt that failed, and another", len(results))
		}
		batchtest.RequireRetry(t, results[0].Err)
		batchtest.RequireDone(t, results[1].Err)
		batchtest.RequireExactly(t, c.payments, batchtest.Expect[Payment](batchtest.WithArgs(Payment{Invoice: "one"})))
	})
}

// A handler that forgets to commit is found: its job is tried again, and in the end it is dead.
func TestTransactionThatIsNotCommitted(t *testing.T) {
	inBubble(t, func(t *testing.T, emails *batch.Queue[*memory.Driver]) {
		d := emails.Driver()
		enqueue(t, emails, "one", Welcome{UserID: 7}, batch.MaxAttempts(emails, 2))
		results := batchtest.Drain(t, d, welcomes(d, func(ctx context.Context, job *batch.Job[Welcome]) error {
			tx, err := d.Begin(ctx)
			if err != nil {
				return err
			}
			defer tx.Rollback(ctx)
			return batch.CompleteTx(ctx, tx, emails, job)
		}))
		if len(results) != 2 {
			t.Errorf("there are %d results, want 2", len(results))
		}
		batchtest.RequireDead[Welcome](t, emails, batchtest.WithReason(batch.ReasonAttempts), batchtest.WithLastError(batch.ErrUncommitted.Error()))
	})
}
