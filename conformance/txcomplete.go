package conformance

import (
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
)

var txCompleteCases = []Case{
	{Name: "tx-complete", Rule: "A job that a transaction completes is gone with its commit, as one that is settled: settling, extending or completing it again is ErrLeaseLost.", Needs: transactional, run: caseTxComplete},
	{Name: "tx-complete-rollback", Rule: "When the transaction is rolled back the delivery is held as before: it is extended and settled as usual, and nobody else gets the job.", Needs: transactional, run: caseTxCompleteRollback},
	{Name: "tx-complete-lost", Rule: "Completing a delivery that was settled, or whose job is with another holder, is ErrLeaseLost: it does not touch the job, and the transaction goes on.", Needs: transactional, leases: true, run: caseTxCompleteLost},
	{Name: "tx-complete-outlives", Rule: "While the transaction is open, beyond the lease, nobody is handed the job, and an Extend counts it as held.", Needs: transactional, leases: true, run: caseTxCompleteOutlives},
	{Name: "tx-complete-remains", Rule: "After a rollback a lease that nobody extends ends when it would have: the job goes to another, not before, and not later.", Needs: transactional, leases: true, run: caseTxCompleteRemains},
	{Name: "tx-complete-beside", Rule: "A delivery that an open transaction completes holds up no other of a Settle or an Extend. Its own settlement is refused, and certainly not carried out.", Needs: transactional, timed: true, run: caseTxCompleteBeside},
	{Name: "tx-complete-enqueue", Rule: "A job that is completed and the jobs that follow it, in one transaction: all of it happens with the commit, and nothing with a rollback.", Needs: transactional, run: caseTxCompleteEnqueue},
	{Name: "tx-complete-group", Rule: "The next job of a group is handed out when the transaction that completes the one before is committed, at once and not before.", Needs: []string{txEnqueuer, "Grouper"}, timed: true, run: caseTxCompleteGroup},
}

// completedLost ends the case unless a delivery is lost for every call.
func (s *stage) completedLost(c driver.Consumer, held *driver.Delivery, why string) {
	tx := s.transaction()
	for what, err := range map[string]error{
		"settle":   only(c.Settle(s.ctx, []driver.Settlement{{Delivery: held, Outcome: driver.OutcomeRetry, Failures: 9, Error: "late"}})),
		"extend":   only(c.Extend(s.ctx, []*driver.Delivery{held})),
		"complete": s.completeTx(tx, s.open(), held),
	} {
		s.is(err, driver.ErrLeaseLost, "%s a delivery %s", what, why)
		s.notStored(err, "%s a delivery %s", what, why)
	}
	s.commit(tx)
}

func caseTxComplete(s *stage) {
	d := s.declared()
	m := full("job")
	s.withCapabilities(d, m)
	s.put(d, m)
	c := s.consume(d, 1)
	held := s.receiveOne(c)
	tx := s.transaction()
	s.completes(tx, s.open(), held)
	s.is(s.completeTx(tx, d, held), driver.ErrLeaseLost, "complete a delivery again in one transaction")
	s.commit(tx)
	s.completedLost(c, held, "whose job a transaction has completed")
	s.nothingSeen(s.open(), "the transaction that completes the job was committed")
	s.waitDepth(d, driver.Depth{})
	if m.DedupKey != "" {
		s.wantDuplicate(d, unique("again", m.DedupKey), m.ID)
	}
}

func caseTxCompleteRollback(s *stage) {
	d := s.declared()
	m := message("job")
	s.put(d, m)
	c, other := s.consume(d, 1), s.consume(s.open(), 1)
	held := s.receiveOne(c)
	for range 2 {
		tx := s.transaction()
		s.completes(tx, d, held)
		s.receiveNone(other, 100*time.Millisecond, "an open transaction completes it")
		s.rollback(tx)
		s.receiveNone(other, 100*time.Millisecond, "its holder has it, as the transaction was rolled back")
		s.check(only(c.Extend(s.ctx, []*driver.Delivery{held})), "extend after a rollback")
	}
	s.settleRetry(c, held, 0)
	s.check(other.Close(s.ctx), "close the other consumer")
	held = s.receiveOne(c)
	s.check(sameMessage(&held.Message, m), "received again")
	equal(s, held.Failures, 1, "Failures after a rollback and a retry")
	equal(s, held.Redeliveries, 0, "Redeliveries after a rollback and a retry")
	equal(s, held.Deliveries, 2, "Deliveries after a rollback and a retry")
	tx := s.transaction()
	s.completes(tx, d, held)
	s.commit(tx)
	s.waitDepth(d, driver.Depth{})
}

func caseTxCompleteLost(s *stage) {
	_, lost, second, held, _ := s.lose(1)
	d := s.open()
	tx := s.transaction()
	s.putTx(tx, d, message("before"))
	for range 2 {
		err := s.completeTx(tx, d, lost[0])
		s.is(err, driver.ErrLeaseLost, "complete what another holds")
		s.notStored(err, "complete what another holds")
	}
	s.putTx(tx, d, message("after"))
	s.check(only(second.Extend(s.ctx, held)), "extend what another was to complete")
	s.commit(tx)
	s.settle(second, held[0], driver.OutcomeDone)
	s.completedLost(second, held[0], "that was settled")
	s.check(second.Close(s.ctx), "close the consumer")
	c := s.consume(d, 2)
	got := map[string]bool{}
	for _, delivery := range s.receiveBy(s.overdue(), c, 2) {
		got[delivery.ID] = true
		s.settle(c, delivery, driver.OutcomeDone)
	}
	if !got["before"] || !got["after"] {
		s.failf("the jobs of a transaction that went on after a lost lease are %v", got)
	}
	s.waitDepth(d, driver.Depth{})
}

func caseTxCompleteOutlives(s *stage) {
	d := s.declared()
	other := s.consume(s.open(), 1)
	for _, commit := range []bool{true, false} {
		s.put(d, message("job"))
		c := s.consume(d, 1)
		held := s.receiveOne(c)
		tx := s.transaction()
		s.completes(tx, d, held)
		open := s.threeLeases()
		if !commit {
			open = max(s.lease()+s.lease()/2, time.Second)
		}
		for range 5 {
			s.receiveNone(other, open/5, "an open transaction completes it")
			if commit {
				s.check(only(c.Extend(s.ctx, []*driver.Delivery{held})), "extend what an open transaction completes")
			}
		}
		if commit {
			s.commit(tx)
			s.completedLost(c, held, "whose job a transaction has completed")
			s.receiveNone(other, s.lease(), "a transaction has completed it")
		} else {
			s.rollback(tx)
			if s.lease() > 0 { // of which nothing is left
				again := s.receiveBy(s.overdue(), other, 1)[0]
				equal(s, again.Deliveries, 2, "Deliveries after a rollback and a lost lease")
				s.is(only(c.Settle(s.ctx, []driver.Settlement{{Delivery: held, Outcome: driver.OutcomeDone}})), driver.ErrLeaseLost, "settle what another holds")
				s.settle(other, again, driver.OutcomeDone)
			} else {
				s.settle(c, held, driver.OutcomeDone)
			}
		}
		s.waitDepth(d, driver.Depth{})
		s.check(c.Close(s.ctx), "close the consumer")
	}
}

func caseTxCompleteRemains(s *stage) {
	d := s.declared()
	s.put(d, message("job"))
	begin := s.history.Now()
	c := s.consume(d, 1)
	held := s.receiveOne(c)
	received := s.history.Now()
	tx := s.transaction()
	s.completes(tx, s.open(), held)
	s.rollback(tx)
	other := s.consume(s.open(), 1)
	after := s.vanish(d)
	vanished := s.history.Now()
	got := s.receiveBy(after+s.overdue(), other, 1)[0]
	now := s.history.Now()
	s.check(Within("the job whose lease has ended", begin, now, after, now), "measure")
	s.handedOver("the job whose lease has ended", received+after, vanished, now)
	equal(s, got.Redeliveries, 1, "Redeliveries after a rollback and a lost holder")
	s.settle(other, got, driver.OutcomeDone)
	s.waitDepth(s.open(), driver.Depth{})
}

func caseTxCompleteBeside(s *stage) {
	const jobs, locked = 5, 2
	d := s.declared()
	s.put(d, messages(jobs)...)
	c := s.consume(d, jobs)
	held := s.receiveAll(c, jobs)
	tx := s.transaction()
	s.completes(tx, s.open(), held[locked])
	begin := s.history.Now()
	s.check(errors.Join(s.extendTogether(c, held)...), "extend %d deliveries, one of which an open transaction completes", jobs)
	outcomes := []driver.Outcome{driver.OutcomeDone, driver.OutcomeRetry, driver.OutcomeDone, driver.OutcomeDead, driver.OutcomeDone}
	for _, round := range []int{0, 1} {
		var settlements []driver.Settlement
		for i, got := range held {
			if round == 0 || i == locked {
				settlements = append(settlements, driver.Settlement{Delivery: got, Outcome: outcomes[(i+round)%jobs], Delay: time.Hour, Failures: 1, Reason: driver.ReasonPermanent, Error: "failed"})
			}
		}
		for i, err := range s.settleTogether(c, settlements...) {
			if settlements[i].Delivery != held[locked] {
				s.check(err, "settle place %d, beside one that an open transaction completes", i)
				continue
			}
			s.is(err, driver.ErrUnavailable, "settle as %s what an open transaction completes", settlements[i].Outcome)
			s.notStored(err, "settle as %s what an open transaction completes", settlements[i].Outcome)
		}
	}
	s.check(Within("an Extend and two Settle beside an open transaction", begin, s.history.Now(), 0, s.lateness()), "measure")
	s.commit(tx)
	s.completedLost(c, held[locked], "whose job a transaction has completed")
	s.waitDepth(d, driver.Depth{Scheduled: 1, Dead: 1})
}

func caseTxCompleteEnqueue(s *stage) {
	d := s.declared()
	c := s.consume(d, 1)
	s.put(d, message(name(0)))
	held := s.receiveOne(c)
	for round := range 6 {
		tx := s.transaction()
		s.putTx(tx, d, message(fmt.Sprintf("round-%d", round)))
		s.completes(tx, d, held)
		if round%2 == 0 {
			s.rollback(tx)
			s.check(only(c.Extend(s.ctx, []*driver.Delivery{held})), "extend after a rollback")
			s.receiveNone(c, 50*time.Millisecond, "its transaction was rolled back")
			continue
		}
		s.commit(tx)
		held = s.receiveOne(c)
		equal(s, held.ID, fmt.Sprintf("round-%d", round), "the job that follows one that was completed")
		s.receiveNone(c, 50*time.Millisecond, "it was completed, or rolled back")
	}
	s.settle(c, held, driver.OutcomeDone)
	s.waitDepth(d, driver.Depth{})
}

func caseTxCompleteGroup(s *stage) {
	const jobs = 4
	d := s.declared()
	s.putGroup(d, jobs)
	c := s.consume(d, 1)
	held := s.receiveOne(c)
	for n := 1; n < jobs; n++ {
		equal(s, held.ID, name(n-1), "the group's job")
		other := s.consume(s.open(), 1)
		tx := s.transaction()
		s.completes(tx, d, held)
		s.receiveNone(other, 100*time.Millisecond, "the transaction that completes the one before is open")
		if n == 2 {
			s.rollback(tx)
			s.receiveNone(other, 100*time.Millisecond, "the one before is held, as its transaction was rolled back")
			tx = s.transaction()
			s.completes(tx, d, held)
		}
		arrived := s.waiting(other, 0)
		s.pass(waitsBy)
		before := s.history.Now()
		s.commit(tx)
		held = s.arrives(arrived, before, s.history.Now()+s.lateness(), "the group's next job, when the one before was completed")
		s.check(c.Close(s.ctx), "close the consumer")
		c = other
	}
	equal(s, held.ID, name(jobs-1), "the group's last job")
	s.settle(c, held, driver.OutcomeDone)
	s.waitDepth(d, driver.Depth{})
}
