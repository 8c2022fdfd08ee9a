package conformance_test

import (
	"context"
	"errors"

	"github.com/batch-go/batch/conformance"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// enqueueTx is EnqueueTx of a driver, with other messages, or none.
type enqueueTx func(ctx context.Context, all []*driver.Message) ([]driver.Result, error)

// txFaults are ways to break what a driver does with transactions, as faults has them.
type txFaults struct {
	// enqueueTx replaces EnqueueTx.
	enqueueTx func(ctx context.Context, call txCall, all []*driver.Message, next enqueueTx) ([]driver.Result, error)
	// completeTx replaces CompleteTx.
	completeTx func(ctx context.Context, call txCall, delivery *driver.Delivery, next func(context.Context) error) error
	// commit and rollback replace the ends of a transaction.
	commit, rollback func(ctx context.Context, tx *memory.Tx) error
}

// txCall is what a call with a transaction is made with.
type txCall struct {
	d     *memory.Driver
	tx    *memory.Tx
	queue string // of EnqueueTx
}

func (b *broken) EnqueueTx(ctx context.Context, tx *memory.Tx, queue string, all []*driver.Message) ([]driver.Result, error) {
	next := func(ctx context.Context, some []*driver.Message) ([]driver.Result, error) {
		return b.Driver.EnqueueTx(ctx, tx, queue, some)
	}
	if b.f.enqueueTx == nil || len(all) == 0 {
		return next(ctx, all)
	}
	return b.f.enqueueTx(ctx, txCall{b.Driver, tx, queue}, all, next)
}

func (b *broken) CompleteTx(ctx context.Context, tx *memory.Tx, delivery *driver.Delivery) error {
	next := func(ctx context.Context) error { return b.Driver.CompleteTx(ctx, tx, delivery) }
	if b.f.completeTx == nil {
		return next(ctx)
	}
	return b.f.completeTx(ctx, txCall{d: b.Driver, tx: tx}, delivery, next)
}

// transactionsOn are the transactions of an application on a memory broker, each by a handle of
// its own: the broker may have crashed meanwhile.
func transactionsOn(b *memory.Broker, f *faults) *conformance.Transactions {
	return conformance.TransactionsOf(func(ctx context.Context) (*memory.Tx, conformance.TxEnd, error) {
		d, err := b.Open()
		if err != nil {
			return nil, conformance.TxEnd{}, err
		}
		tx, err := d.Begin(ctx)
		if err != nil {
			return nil, conformance.TxEnd{}, err
		}
		closing := func(end func(context.Context) error, other func(context.Context, *memory.Tx) error) func(context.Context) error {
			return func(ctx context.Context) error {
				if other == nil {
					return errors.Join(end(ctx), d.Close(ctx))
				}
				return errors.Join(other(ctx, tx), d.Close(ctx))
			}
		}
		return tx, conformance.TxEnd{Commit: closing(tx.Commit, f.commit), Rollback: closing(tx.Rollback, f.rollback)}, nil
	})
}
