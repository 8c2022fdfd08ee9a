package conformance_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// inTx is a driver that is broken in EnqueueTx.
func inTx(enqueue func(ctx context.Context, call txCall, all []*driver.Message, next enqueueTx) ([]driver.Result, error)) *faults {
	return &faults{txFaults: txFaults{enqueueTx: enqueue}}
}

// changedTx is a driver that changes each message of EnqueueTx.
func changedTx(change func(*driver.Message)) *faults {
	return inTx(func(ctx context.Context, _ txCall, all []*driver.Message, next enqueueTx) ([]driver.Result, error) {
		some := make([]*driver.Message, len(all))
		for i, m := range all {
			some[i] = changed(change)(m)[0]
		}
		return next(ctx, some)
	})
}

// plainly stores messages outside of the transaction.
func plainly(ctx context.Context, call txCall, all []*driver.Message, _ enqueueTx) ([]driver.Result, error) {
	return call.d.Enqueue(ctx, call.queue, all), nil
}

// txMutants are broken in what they store in transactions, and in how these end.
func txMutants() mutantTable {
	tenth := everyTenth()
	all := mutantTable{
		"stores at once what a transaction is to store": {inTx(plainly),
			[]string{"tx-unseen", "tx-rollback", "tx-many", "tx-queues", "tx-key-free", "tx-complete-enqueue", "tx-effects"}, []string{"tx-commit", "tx-group"}},
		"stores nothing of a transaction": {inTx(func(context.Context, txCall, []*driver.Message, enqueueTx) ([]driver.Result, error) { return nil, nil }),
			[]string{"tx-commit", "tx-unseen", "tx-wakes-idle", "tx-priority"}, []string{"tx-complete", "tx-complete-rollback"}},
		"stores a transaction's jobs twice": {inTx(func(ctx context.Context, _ txCall, all []*driver.Message, next enqueueTx) ([]driver.Result, error) {
			if results, err := next(ctx, all); err != nil {
				return results, err
			}
			return next(ctx, all)
		}), []string{"tx-unseen", "tx-concurrent"}, []string{"tx-complete"}},
		"drops headers in a transaction": {changedTx(func(m *driver.Message) { m.Headers = nil }), []string{"tx-commit"}, []string{"tx-unseen", "tx-many"}},
		"ignores levels in a transaction": {changedTx(func(m *driver.Message) { m.Level = driver.Normal }),
			[]string{"tx-priority", "tx-commit"}, []string{"tx-group", "tx-many"}},
		"ignores groups in a transaction": {changedTx(func(m *driver.Message) { m.Group = "" }), []string{"tx-group", "tx-commit"}, []string{"tx-priority"}},
		"ignores keys in a transaction": {changedTx(func(m *driver.Message) { m.DedupKey = "" }),
			[]string{"tx-duplicate", "tx-key-commit", "tx-key-enqueue", "tx-key-atomic", "tx-deadlock"}, []string{"tx-group", "tx-key-free"}},
		"delivers early in a transaction": {changedTx(func(m *driver.Message) { m.Delay /= 20 }), []string{"tx-delay"}, []string{"tx-commit"}},
		"has one queue in a transaction": {inTx(func() func(context.Context, txCall, []*driver.Message, enqueueTx) ([]driver.Result, error) {
			var first sync.Map
			return func(ctx context.Context, call txCall, all []*driver.Message, next enqueueTx) ([]driver.Result, error) {
				if queue, _ := first.LoadOrStore(call.tx, call.queue); queue != call.queue {
					return plainly(ctx, call, all, next)
				}
				return next(ctx, all)
			}
		}()), []string{"tx-queues"}, []string{"tx-many", "tx-commit"}},
		"rolls back every tenth commit": {&faults{txFaults: txFaults{commit: func(ctx context.Context, tx *memory.Tx) error {
			if tenth() {
				return tx.Rollback(ctx)
			}
			return tx.Commit(ctx)
		}}}, []string{"tx-concurrent", "tx-effects"}, []string{"tx-rollback"}},
		"commits what is rolled back": {&faults{txFaults: txFaults{rollback: func(ctx context.Context, tx *memory.Tx) error { return tx.Commit(ctx) }}},
			[]string{"tx-rollback", "tx-many", "tx-queues", "tx-key-free", "tx-key-rollback", "tx-complete-rollback", "tx-complete-enqueue"}, []string{"tx-commit", "tx-complete"}},
	}
	maps.Copy(all, txErrorMutants())
	return all
}

// txErrorMutants are broken in what they do when a call with a transaction fails.
func txErrorMutants() mutantTable {
	late := func(call txCall, err error) *memory.Driver {
		if !errors.Is(err, driver.ErrClosed) {
			return nil
		}
		d, _ := call.d.Broker().Open()
		return d
	}
	return mutantTable{
		"stores what is in bounds of a call with a transaction": {inTx(func(ctx context.Context, _ txCall, all []*driver.Message, next enqueueTx) ([]driver.Result, error) {
			results, err := next(ctx, all)
			for i := 0; err != nil && i < len(all); i++ {
				_, _ = next(ctx, all[i:i+1])
			}
			return results, err
		}), []string{"tx-refused"}, []string{"tx-commit", "tx-missing"}},
		"makes the queue on EnqueueTx": {inTx(func(ctx context.Context, call txCall, all []*driver.Message, next enqueueTx) ([]driver.Result, error) {
			_ = call.d.Declare(ctx, call.queue)
			return next(ctx, all)
		}), []string{"tx-missing"}, []string{"tx-commit"}},
		"is not sure of a call with a transaction": {inTx(func(ctx context.Context, _ txCall, all []*driver.Message, next enqueueTx) ([]driver.Result, error) {
			results, err := next(ctx, all)
			var known *driver.Error
			if errors.As(err, &known) {
				known.Fate = driver.FateUnknown
			}
			return results, err
		}), []string{"tx-missing", "tx-context", "tx-refused", "tx-elsewhere", "tx-deadlock"}, []string{"tx-commit"}},
		"does not look at the context of a call with a transaction": {&faults{txFaults: txFaults{
			enqueueTx: func(ctx context.Context, _ txCall, all []*driver.Message, next enqueueTx) ([]driver.Result, error) {
				return next(context.WithoutCancel(ctx), all)
			},
			completeTx: func(ctx context.Context, _ txCall, _ *driver.Delivery, next func(context.Context) error) error {
				return next(context.WithoutCancel(ctx))
			},
		}}, []string{"tx-context", "tx-key-context"}, []string{"tx-commit", "tx-complete"}},
		"takes transactions after Close": {&faults{txFaults: txFaults{
			enqueueTx: func(ctx context.Context, call txCall, all []*driver.Message, next enqueueTx) ([]driver.Result, error) {
				results, err := next(ctx, all)
				if d := late(call, err); d != nil {
					return d.EnqueueTx(ctx, call.tx, call.queue, all)
				}
				return results, err
			},
			completeTx: func(ctx context.Context, call txCall, delivery *driver.Delivery, next func(context.Context) error) error {
				err := next(ctx)
				if d := late(call, err); d != nil {
					return d.CompleteTx(ctx, call.tx, delivery)
				}
				return err
			},
		}}, []string{"tx-closed"}, []string{"tx-commit", "tx-effects"}},
		"takes transactions of other databases": {inTx(func(ctx context.Context, call txCall, all []*driver.Message, next enqueueTx) ([]driver.Result, error) {
			results, err := next(ctx, all)
			if errors.Is(err, driver.ErrConfig) && !slices.ContainsFunc(all, func(m *driver.Message) bool { return m.Delay != 0 }) {
				return plainly(ctx, call, all, next)
			}
			return results, err
		}), []string{"tx-elsewhere"}, []string{"tx-commit", "tx-refused"}},
		"takes deliveries of other databases": {&faults{txFaults: txFaults{
			completeTx: func(ctx context.Context, _ txCall, _ *driver.Delivery, next func(context.Context) error) error {
				if err := next(ctx); !errors.Is(err, driver.ErrConfig) {
					return err
				}
				return nil
			},
		}}, []string{"tx-foreign", "tx-elsewhere"}, []string{"tx-commit", "tx-complete"}},
		"completes nothing in a transaction": {&faults{txFaults: txFaults{
			completeTx: func(context.Context, txCall, *driver.Delivery, func(context.Context) error) error { return nil },
		}}, []string{"tx-complete", "tx-complete-outlives", "tx-complete-enqueue", "tx-effects", "tx-effects-killed", "tx-effects-drain"}, []string{"tx-commit"}},
		"completes what is lost": {&faults{txFaults: txFaults{
			completeTx: func(ctx context.Context, _ txCall, _ *driver.Delivery, next func(context.Context) error) error {
				if err := next(ctx); !errors.Is(err, driver.ErrLeaseLost) {
					return err
				}
				return nil
			},
		}}, []string{"tx-complete-lost", "tx-complete", "tx-effects-lost"}, []string{"tx-complete-rollback", "tx-effects"}},
		"ends a transaction with a lost lease": {&faults{txFaults: txFaults{
			completeTx: func(ctx context.Context, call txCall, _ *driver.Delivery, next func(context.Context) error) error {
				err := next(ctx)
				if errors.Is(err, driver.ErrLeaseLost) {
					_ = call.tx.Rollback(ctx)
				}
				return err
			},
		}}, []string{"tx-complete-lost"}, []string{"tx-complete-rollback", "tx-effects-lost"}},
	}
}
