package memory

import (
	"context"
	"errors"
	"reflect"

	"github.com/batch-go/batch/driver"
)

var (
	errDeadlock    = errors.New("two transactions wait for each other")
	errOtherBroker = errors.New("the transaction is none of this broker")
	errForeign     = errors.New("the delivery is none of this broker")
)

var (
	_ driver.TxEnqueuer[*Tx] = (*Driver)(nil)
	_ driver.TxTrier         = (*Driver)(nil)
)

// Tx is a transaction on a [Broker], as an application has one of its own database. In tests
// it stands for that: batch.EnqueueTx and batch.CompleteTx take it. It has nothing but jobs.
// [Driver.Begin] makes one, and Commit or Rollback ends it.
//
// As with other databases only one call may use it at a time, and one that is never ended
// keeps for ever what it holds: keys, deliveries and room.
type Tx struct{ *txState }

// Begin begins a transaction, which every handle on the broker takes. It does not wait. Close
// of this handle and [Broker.Crash] roll it back if it is open. An error wraps driver.ErrClosed,
// driver.ErrUnavailable or that of ctx, which is for this call only.
func (d *Driver) Begin(ctx context.Context) (*Tx, error) {
	const op = "begin"
	if err := fail(op, "", ctx.Err()); err != nil {
		return nil, err
	}
	tx := &Tx{newTxState(d.broker, d.conn)}
	// It is there before the look, so that a Close or Crash after that finds it.
	d.broker.holders.add(tx.holder)
	if err := fail(op, "", d.conn.usable()); err != nil {
		d.broker.holders.remove(tx.holder)
		return nil, err
	}
	return tx, nil
}

// Commit makes all that the transaction did true in one instant, on all its queues. It does
// not wait. After an error nothing of it is, and the transaction has ended. The error wraps
// driver.ErrNotFound if a queue for which it has jobs was deleted, driver.ErrUnavailable after
// a [Broker.Crash], driver.ErrClosed after a Close of the handle that began it and, with
// [ErrTxEnded], if it had ended before; or it is that of a ctx that has ended.
func (tx *Tx) Commit(ctx context.Context) error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return tx.commit(ctx, "commit")
}

// Rollback ends the transaction without effect, also if ctx has ended. It does not wait. On a
// transaction that has ended it is an error as that of Commit, and does nothing, so that a
// deferred Rollback is right.
func (tx *Tx) Rollback(context.Context) error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if err := tx.usable("rollback", ""); err != nil {
		return err
	}
	tx.finish(ErrTxEnded)
	return nil
}

// TxType is *[Tx].
func (d *Driver) TxType() reflect.Type { return reflect.TypeFor[*Tx]() }

// EnqueueTx stores messages when tx is committed. Their keys are held and their capacity is
// taken from this call on. If another open transaction holds one of the keys, the call waits
// for its end, and holds none of its own meanwhile. If that one waits for this one, directly
// or by way of others, the error comes at once and wraps driver.ErrUnavailable. No error keeps
// tx from being used any more.
func (d *Driver) EnqueueTx(ctx context.Context, tx *Tx, queue string, messages []*driver.Message) ([]driver.Result, error) {
	const op = "enqueue in a transaction"
	if len(messages) == 0 {
		return nil, nil
	}
	jobs, err := d.broker.newJobs(op, queue, messages)
	if err != nil {
		return nil, err
	}
	var results []driver.Result
	err = d.inTx(ctx, tx, op, queue, func() (other *holder, err error) {
		results, other, err = tx.store(ctx, &d.base, op, queue, jobs, messages)
		return other, err
	})
	return results, err
}

// CompleteTx ends the job of a delivery when tx is committed. Its lease does not end while tx
// is open, and an Extend meanwhile renews what is left of it after a rollback. A Settle is an
// error that wraps driver.ErrUnavailable. If another open transaction completes the delivery,
// the call waits for its end as EnqueueTx does.
func (d *Driver) CompleteTx(ctx context.Context, tx *Tx, delivery *driver.Delivery) error {
	const op = "complete in a transaction"
	l := leaseOf(delivery)
	return d.inTx(ctx, tx, op, "", func() (*holder, error) {
		if err := fail(op, "", ctx.Err()); err != nil {
			return nil, err
		}
		if l != nil && l.of.home != &d.broker.capacity {
			return nil, faults.Refuse(op, "", driver.ErrConfig, errForeign, "use a handle of the broker that has the job")
		}
		q := d.broker.queueOf(l)
		if q == nil {
			return nil, faults.LeaseLost(op, "")
		}
		return tx.complete(&d.base, op, q, l)
	})
}

// TryTx stores messages in a transaction of this handle's own.
func (d *Driver) TryTx(ctx context.Context, queue string, messages []*driver.Message, commit bool) error {
	tx, err := d.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }() // which does nothing after the commit
	if _, err := d.EnqueueTx(ctx, tx, queue, messages); err != nil || !commit {
		return err
	}
	return tx.Commit(ctx)
}

// inTx calls do with tx locked, as often as it names another transaction, whose end it waits
// for.
func (d *Driver) inTx(ctx context.Context, tx *Tx, op, queue string, do func() (*holder, error)) error {
	if err := fail(op, queue, d.conn.usable()); err != nil {
		return err
	}
	if tx == nil || tx.broker != d.broker {
		return faults.Refuse(op, queue, driver.ErrConfig, errOtherBroker, "begin it on a handle of the same broker")
	}
	once := func() (*holder, error) {
		tx.mu.Lock()
		defer tx.mu.Unlock()
		if err := tx.usable(op, queue); err != nil {
			return nil, err
		}
		return do()
	}
	for {
		other, err := once()
		if other == nil {
			return err
		}
		if !d.broker.holders.wait(tx.holder, other) {
			return faults.Refuse(op, queue, driver.ErrUnavailable, errDeadlock, "roll this one back, so that the other goes on")
		}
		other.await(ctx, d.conn, tx.holder)
		d.broker.holders.waited(tx.holder)
	}
}
