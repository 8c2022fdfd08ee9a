package conformance

import (
	"context"

	"github.com/batch-go/batch/driver"
)

// The helpers in this file are for cases on transactions.

// transaction begins one, which is rolled back after the case if it is open.
func (s *stage) transaction() *transaction {
	tx, err := s.tryBegin(s.ctx, s.harness.Transactions)
	s.check(err, "begin a transaction")
	return tx
}

// tryBegin is transaction for one of these. It may be called from any goroutine.
func (s *stage) tryBegin(ctx context.Context, from *Transactions) (*transaction, error) {
	tx, err := from.begin(ctx)
	if err != nil {
		return nil, err
	}
	s.after(func(ctx context.Context) error {
		_ = tx.rollback(ctx) // the database may have given it up
		return nil
	})
	return tx, nil
}

// enqueueTx calls EnqueueTx with messages. It may be called from any goroutine.
func (s *stage) enqueueTx(ctx context.Context, tx *transaction, d driver.Driver, queue string, all ...*driver.Message) ([]driver.Result, error) {
	defer s.watch().call(ctx, "EnqueueTx")()
	before := make([]driver.Message, len(all))
	for i, m := range all {
		before[i] = *m
	}
	results, err := tx.enqueueTx(ctx, d, queue, all)
	if results != nil && len(results) != len(all) {
		s.problem("EnqueueTx of %d messages returned %d results", len(all), len(results))
		results = nil
	}
	if err != nil {
		return nil, err
	}
	for i, r := range results {
		if r.Err != nil {
			s.problem("EnqueueTx returned a result with the error %v", r.Err)
		}
		if !unchanged(&before[i], all[i]) {
			s.problem("EnqueueTx changed the message %s, which belongs to the caller", before[i].ID)
		}
	}
	return results, nil
}

// putTx enqueues messages on the case's queue as part of a transaction, in one call, and ends
// the case if one of them is a duplicate.
func (s *stage) putTx(tx *transaction, d driver.Driver, all ...*driver.Message) {
	s.putTxOn(tx, d, s.queue, all...)
}

// putTxOn is putTx for another queue.
func (s *stage) putTxOn(tx *transaction, d driver.Driver, queue string, all ...*driver.Message) {
	for _, m := range all {
		s.history.Add(Event{Op: Enqueueing, ID: m.ID, Level: m.Level, Group: m.Group})
	}
	results, err := s.enqueueTx(s.ctx, tx, d, queue, all...)
	s.check(err, "enqueue %d jobs in a transaction", len(all))
	for i, r := range results {
		if r.Duplicate {
			s.failf("enqueue %s in a transaction: reported as a duplicate of %q", all[i].ID, r.DuplicateOf)
		}
	}
}

// completeTx calls CompleteTx with a delivery.
func (s *stage) completeTx(tx *transaction, d driver.Driver, held *driver.Delivery) error {
	defer s.watch().call(s.ctx, "CompleteTx")()
	return tx.completeTx(s.ctx, d, held)
}

// completes is completeTx, and ends the case if that fails.
func (s *stage) completes(tx *transaction, d driver.Driver, held *driver.Delivery) {
	s.check(s.completeTx(tx, d, held), "complete %s in a transaction", held.ID)
}

// commit commits a transaction.
func (s *stage) commit(tx *transaction) {
	s.check(tx.commit(s.ctx), "commit")
}

// rollback rolls a transaction back.
func (s *stage) rollback(tx *transaction) {
	s.check(tx.rollback(s.ctx), "roll back")
}

// mayCommit commits a transaction of which a call has failed, and tells whether the database
// took that.
func (s *stage) mayCommit(tx *transaction) bool {
	if tx.commit(s.ctx) == nil {
		return true
	}
	_ = tx.end.Rollback(s.ctx)
	return false
}

// notYet ends the case if a call that is to wait has returned. It gives it the time to do so.
func notYet[T any](s *stage, returned <-chan T, why string) {
	s.pass(silence)
	select {
	case got := <-returned:
		s.failf("the call returned %v although %s", got, why)
	default:
	}
}

// comes is what a call returns that is to go on now.
func comes[T any](s *stage, returned <-chan T, what string) T {
	ctx, cancel := s.soon()
	defer cancel()
	select {
	case got := <-returned:
		return got
	case <-ctx.Done():
		s.failf("%s: %v", what, context.Cause(ctx))
		panic("not reached")
	}
}

// nothingSeen ends the case if another handle sees a job in the queue: a transaction is open,
// or was rolled back.
func (s *stage) nothingSeen(d driver.Driver, why string) {
	got, err := d.Depth(s.ctx, s.queue)
	s.check(err, "count the jobs")
	for state, n := range map[string]int64{"waiting": got.Waiting, "scheduled": got.Scheduled, "running": got.Running, "dead": got.Dead} {
		if n > 0 {
			s.failf("%d %s jobs are counted although %s", n, state, why)
		}
	}
	equal(s, len(s.deadLetters(d, 10)), 0, "dead letters although %s", why)
	if _, ok := bare(d).(driver.Inspector); ok {
		for _, state := range []driver.State{driver.StateWaiting, driver.StateScheduled, driver.StateDead} {
			equal(s, len(s.list(d, state, 10)), 0, "%s jobs that are listed although %s", state, why)
		}
	}
	c := s.consume(d, 1)
	s.receiveNone(c, silence, why)
	s.check(c.Close(s.ctx), "close the consumer")
}
