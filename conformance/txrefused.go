package conformance

import (
	"context"
	"errors"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var txRefusedCases = []Case{
	{Name: "tx-refused", Rule: "A call with a job out of bounds is an error, and none of its jobs is part of the transaction.", Needs: []string{txEnqueuer, "Delayer"}, run: caseTxRefused},
	{Name: "tx-missing", Rule: "A call on a queue that does not exist is ErrNotFound with FateNotStored, makes nothing, and adds nothing to the transaction.", Needs: transactional, run: caseTxMissing},
	{Name: "tx-context", Rule: "A call whose context has ended returns its error with FateNotStored, and adds nothing to the transaction.", Needs: transactional, run: caseTxContext},
	{Name: "tx-closed", Rule: "After Close calls with a transaction return ErrClosed, and one without messages is a no-op.", Needs: transactional, run: caseTxClosed},
	{Name: "tx-elsewhere", Rule: "A transaction of another database is ErrConfig with FateNotStored: nothing is stored, and a delivery is held as before.", Needs: []string{txEnqueuer, needsOther}, run: caseTxElsewhere},
	{Name: "tx-foreign", Rule: "A delivery of another schema or database, whose queue has the same name, is ErrConfig with FateNotStored when a transaction is to complete it: no job is touched, and the transaction goes on. Nor is it extended or settled.", Needs: []string{txEnqueuer, needsElsewhere}, run: caseTxForeign},
}

// txFailed ends the case unless an error of a call with a transaction is as wanted, and only
// the job "kept" is part of the transaction, or nothing, if the database lets no transaction
// go on that has met an error.
func (s *stage) txFailed(tx *transaction, err, want error, what string) {
	s.is(err, want, "%s", what)
	s.notStored(err, "%s", what)
	d := s.open()
	if s.mayCommit(tx) {
		c := s.consume(d, 1)
		s.next(c, "kept", "which was part of the transaction before the error")
		s.check(c.Close(s.ctx), "close the consumer")
	}
	s.nothingSeen(d, what+": nothing of that is part of the transaction")
}

func caseTxRefused(s *stage) {
	d := s.declared()
	longest := capable[batch.Delayer](s, d).MaxDelay()
	for what, delay := range map[string]time.Duration{"a negative delay": -time.Second, "a delay beyond MaxDelay": longest + time.Hour} {
		tx := s.transaction()
		s.putTx(tx, d, message("kept"))
		_, err := s.enqueueTx(s.ctx, tx, d, s.queue, message("before"), delayed("refused", delay), message("after"))
		s.txFailed(tx, err, driver.ErrConfig, "an EnqueueTx of three jobs, one of them with "+what)
	}
}

func caseTxMissing(s *stage) {
	d := s.declared()
	missing := s.newQueue()
	for range 2 {
		tx := s.transaction()
		s.putTx(tx, d, message("kept"))
		_, err := s.enqueueTx(s.ctx, tx, d, missing, messages(2)...)
		s.txFailed(tx, err, driver.ErrNotFound, "an EnqueueTx on a queue that does not exist")
		_, err = d.Depth(s.ctx, missing)
		s.is(err, driver.ErrNotFound, "Depth of a queue that does not exist, after an EnqueueTx")
	}
}

func caseTxContext(s *stage) {
	d := s.declared()
	ended, cancel := context.WithCancel(s.ctx)
	cancel()
	tx := s.transaction()
	s.putTx(tx, d, message("kept"))
	_, err := s.enqueueTx(ended, tx, d, s.queue, messages(2)...)
	s.txFailed(tx, err, context.Canceled, "an EnqueueTx with a context that has ended")

	s.put(d, message("held"))
	c := s.consume(d, 1)
	held := s.receiveOne(c)
	tx = s.transaction()
	err = tx.completeTx(ended, d, held)
	s.is(err, context.Canceled, "a CompleteTx with a context that has ended")
	s.notStored(err, "a CompleteTx with a context that has ended")
	s.mayCommit(tx)
	s.check(only(c.Extend(s.ctx, []*driver.Delivery{held})), "extend after a CompleteTx that was not to be sent")
	s.settle(c, held, driver.OutcomeDone)
	s.waitDepth(d, driver.Depth{})
}

func caseTxClosed(s *stage) {
	d := s.declared()
	s.put(d, message("held"))
	other := s.open()
	c := s.consume(other, 1)
	held := s.receiveOne(c)
	tx := s.transaction()
	results, err := s.enqueueTx(s.ctx, tx, d, s.queue)
	equal(s, err == nil && results == nil, true, "whether an EnqueueTx of no messages returned neither results nor an error")
	s.check(d.Close(s.ctx), "close the handle")
	_, err = s.enqueueTx(s.ctx, tx, d, s.queue)
	s.check(err, "an EnqueueTx of no messages after Close")
	_, err = s.enqueueTx(s.ctx, tx, d, s.queue, message("late"))
	s.is(err, driver.ErrClosed, "an EnqueueTx after Close")
	s.notStored(err, "an EnqueueTx after Close")
	s.is(s.completeTx(tx, d, held), driver.ErrClosed, "a CompleteTx after Close")
	s.mayCommit(tx)
	s.settle(c, held, driver.OutcomeDone)
	s.check(c.Close(s.ctx), "close the consumer")
	s.nothingSeen(other, "the handle of the calls was closed")
}

func caseTxElsewhere(s *stage) {
	d := s.declared()
	begin := func() *transaction {
		tx, err := s.tryBegin(s.ctx, s.harness.OtherTransactions)
		s.check(err, "begin a transaction of another database")
		return tx
	}
	s.put(d, message("held"))
	c := s.consume(d, 1)
	held := s.receiveOne(c)
	for range 2 {
		tx := begin()
		_, err := s.enqueueTx(s.ctx, tx, d, s.queue, messages(2)...)
		s.is(err, driver.ErrConfig, "an EnqueueTx in a transaction of another database")
		s.notStored(err, "an EnqueueTx in a transaction of another database")
		s.mayCommit(tx)
		tx = begin()
		err = s.completeTx(tx, d, held)
		s.is(err, driver.ErrConfig, "a CompleteTx in a transaction of another database")
		s.notStored(err, "a CompleteTx in a transaction of another database")
		s.mayCommit(tx)
	}
	s.check(only(c.Extend(s.ctx, []*driver.Delivery{held})), "extend what a transaction of another database was to complete")
	s.settle(c, held, driver.OutcomeDone)
	s.nothingSeen(d, "the transactions were of another database")
}

func caseTxForeign(s *stage) {
	d, other := s.declared(), s.openOther()
	s.put(d, message("own"))
	s.put(other, message("foreign"))
	c, elsewhere := s.consume(d, 1), s.consume(other, 1)
	own, foreign := s.receiveOne(c), s.receiveOne(elsewhere)
	equal(s, foreign.ID, "foreign", "the job of the other queue of that name")
	for what, err := range map[string]error{
		"extend": only(c.Extend(s.ctx, []*driver.Delivery{foreign})),
		"settle": only(c.Settle(s.ctx, []driver.Settlement{{Delivery: foreign, Outcome: driver.OutcomeDone}})),
	} {
		if !errors.Is(err, driver.ErrConfig) {
			s.is(err, driver.ErrLeaseLost, "%s a delivery of another queue of that name", what)
		}
		s.notStored(err, "%s a delivery of another queue of that name", what)
	}
	for _, left := range []driver.Depth{{Running: 1}, {}} {
		tx := s.transaction()
		err := s.completeTx(tx, d, foreign)
		s.is(err, driver.ErrConfig, "complete a delivery of another queue of that name")
		s.notStored(err, "complete a delivery of another queue of that name")
		if left.Running == 0 {
			s.completes(tx, d, own)
		}
		s.commit(tx)
		s.waitDepth(d, left)
		s.waitDepth(other, driver.Depth{Running: 1})
	}
	s.settle(elsewhere, foreign, driver.OutcomeDone)
	s.waitDepth(other, driver.Depth{})
}
