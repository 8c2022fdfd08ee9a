package conformance

import (
	"errors"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var groupLifeCases = []Case{
	{Name: "group-batch", Rule: "Jobs of one group that were enqueued together are handed out one at a time, also to a Receive of many.", Needs: grouper, run: caseGroupBatch},
	{Name: "group-two-holders", Rule: "While one consumer holds a job of a group, no other consumer gets one of it, also when the holder releases, retries or extends.", Needs: grouper, leases: true, run: caseGroupTwoHolders},
	{Name: "group-lost-settle", Rule: "A holder that lost a job of a group cannot let the group go on.", Needs: grouper, leases: true, run: caseGroupLostSettle},
	{Name: "group-redrive-running", Rule: "A job that is redriven while another of its group runs waits for it.", Needs: grouper, run: caseGroupRedriveRunning},
	{Name: "group-discard", Rule: "Discarding a dead letter of a group neither blocks the group nor lets two run.", Needs: grouper, run: caseGroupDiscard},
	{Name: "group-delete-queue", Rule: "A group is free again when its queue was deleted while it was held.", Needs: grouper, run: caseGroupDeleteQueue},
	{Name: "group-again", Rule: "A group that was empty takes jobs again, in order, any number of times.", Needs: grouper, run: caseGroupAgain},
	{Name: "group-priority", Rule: "Within a group the order is that of the enqueue, whatever the level; among groups, levels go first.", Needs: []string{"Grouper", "Prioritizer"}, run: caseGroupPriority},
	{Name: "group-close", Rule: "A group goes on when the consumer that held its head was closed.", Needs: grouper, leases: true, run: caseGroupClose},
	{Name: "depth-group", Rule: "Jobs that wait behind another of their group are counted as waiting.", Needs: grouper, run: caseDepthGroup},
	{Name: "group-settled-together", Rule: "Heads of groups that are settled in one call, each in another way, let exactly those groups go on that may.", Needs: grouper, run: caseGroupSettledTogether},
}

func caseGroupBatch(s *stage) {
	const jobs = 5
	d := s.declared()
	var all []*driver.Message
	for i := range jobs {
		all = append(all, grouped(name(i), "group"))
	}
	s.put(d, all...)
	c := s.consume(d, jobs)
	for i := range jobs {
		ctx, cancel := s.soon()
		got, err := c.Receive(ctx, min(jobs, s.info.Limits.ReceiveBatch))
		cancel()
		s.check(err, "receive")
		equal(s, len(got), 1, "jobs of one group in one Receive")
		equal(s, got[0].ID, name(i), "the group's next job")
		s.settle(c, got[0], driver.OutcomeDone)
	}
}

func caseGroupTwoHolders(s *stage) {
	d := s.declared()
	s.putGroup(d, 4)
	c := s.consume(d, 4)
	other := s.consume(s.open(), 4)
	held := s.receiveOne(c)
	for range 4 { // longer than a lease
		s.check(only(c.Extend(s.ctx, []*driver.Delivery{held})), "extend")
		s.receiveNone(other, max(s.lease()/3, 20*time.Millisecond), "another consumer holds one of its group")
	}
	s.settleRetry(c, held, 400*time.Millisecond)
	s.receiveNone(other, 100*time.Millisecond, "one of its group waits for its retry")
	held = s.receiveOne(other)
	equal(s, held.ID, name(0), "the group's next job, at another consumer")
	s.receiveNone(c, 50*time.Millisecond, "another consumer holds one of its group")
	s.settle(other, held, driver.OutcomeRelease)
	held = s.receiveOne(c)
	equal(s, held.ID, name(0), "the group's next job after a release")
	s.receiveNone(other, 50*time.Millisecond, "another consumer holds one of its group")
	s.settle(c, held, driver.OutcomeDone)
	for i := 1; i < 4; i++ {
		s.next(other, name(i), "after the one before was done")
	}
	s.waitDepth(d, driver.Depth{})
}

func caseGroupLostSettle(s *stage) {
	d := s.declared()
	s.putGroup(d, 3)
	first := s.consume(d, 3)
	lost := s.receiveOne(first)
	after := s.vanish(d)
	d = s.open()
	second := s.consume(d, 3)
	held := s.receiveBy(after+s.overdue(), second, 1)[0]
	equal(s, held.ID, name(0), "the group's next job after its holder vanished")
	for _, outcome := range []driver.Outcome{driver.OutcomeDone, driver.OutcomeDead, driver.OutcomeRelease, driver.OutcomeRetry} {
		err := only(first.Settle(s.ctx, []driver.Settlement{{Delivery: lost, Outcome: outcome, Failures: 1, Reason: driver.ReasonPermanent}}))
		if !errors.Is(err, driver.ErrLeaseLost) && !errors.Is(err, driver.ErrClosed) {
			s.failf("settle as %s what another holds: the error is %s", outcome, quoteErr(err))
		}
		s.check(only(second.Extend(s.ctx, []*driver.Delivery{held})), "extend what the second holds")
		s.receiveNone(s.consume(d, 1), 30*time.Millisecond, "the first of its group is held")
	}
	s.settle(second, held, driver.OutcomeDone)
	s.next(second, name(1), "after the first was done")
	s.next(second, name(2), "after the second was done")
	s.waitDepth(d, driver.Depth{})
}

// headDied makes a group of three whose first job died, and of which the next runs.
func (s *stage) headDied() (d driver.Driver, c driver.Consumer, running *driver.Delivery) {
	d = s.declared()
	s.putGroup(d, 3)
	c = s.consume(d, 3)
	s.settleDead(c, s.receiveOne(c))
	s.waitDeadLetters(d, 1)
	return d, c, s.receiveOne(c)
}

func caseGroupRedriveRunning(s *stage) {
	d, c, running := s.headDied()
	equal(s, running.ID, name(1), "the group's next job after the first died")
	n, err := d.Redrive(s.ctx, s.queue, driver.Selection{IDs: []string{name(0)}})
	s.check(err, "redrive")
	equal(s, n, 1, "dead letters redriven")
	s.receiveNone(c, 100*time.Millisecond, "one of its group runs")
	s.settleRetry(c, running, 100*time.Millisecond)
	again := s.receiveOne(c)
	equal(s, again.ID, name(1), "the group's next job, its head's retry")
	s.settle(c, again, driver.OutcomeDone)
	for range 2 {
		got := s.receiveOne(c)
		s.receiveNone(c, 30*time.Millisecond, "one of its group runs")
		s.settle(c, got, driver.OutcomeDone)
	}
	s.waitDepth(d, driver.Depth{})
}

func caseGroupDiscard(s *stage) {
	d, c, running := s.headDied()
	n, err := d.Discard(s.ctx, s.queue, driver.Selection{All: true})
	s.check(err, "discard")
	equal(s, n, 1, "dead letters discarded")
	s.receiveNone(c, 100*time.Millisecond, "one of its group runs")
	s.settle(c, running, driver.OutcomeDone)
	s.next(c, name(2), "after the one before was done")
	s.put(d, grouped("new", "group"))
	s.next(c, "new", "of a group whose jobs are over")
	s.waitDepth(d, driver.Depth{})
}

func caseGroupDeleteQueue(s *stage) {
	d := s.declared()
	s.putGroup(d, 3)
	c := s.consume(d, 3)
	s.receiveOne(c)
	s.check(s.open().DeleteQueue(s.ctx, s.queue), "delete the queue")
	s.check(d.Declare(s.ctx, s.queue), "declare again")
	s.put(d, grouped("new-0", "group"), grouped("new-1", "group"))
	other := s.consume(s.open(), 3)
	s.next(other, "new-0", "of a group that was held when its queue was deleted")
	s.next(other, "new-1", "after the one before was done")
	s.waitDepth(d, driver.Depth{})
}

func caseGroupAgain(s *stage) {
	d := s.declared()
	c := s.consume(d, 4)
	for round := range 3 {
		s.put(d, grouped(name(3*round), "group"))
		held := s.receiveOne(c)
		s.put(d, grouped(name(3*round+1), "group"), grouped(name(3*round+2), "group"))
		s.receiveNone(c, 30*time.Millisecond, "the first of its group is held")
		s.settle(c, held, []driver.Outcome{driver.OutcomeDone, driver.OutcomeDead, driver.OutcomeDone}[round])
		s.next(c, name(3*round+1), "after the first is over")
		s.next(c, name(3*round+2), "after the second was done")
		s.waitDepth(d, driver.Depth{Dead: int64(min(round, 1))})
	}
}

func caseGroupPriority(s *stage) {
	d := s.declared()
	put := func(id, group string, l driver.Level) {
		m := grouped(id, group)
		m.Level = l
		s.put(d, m)
	}
	put("a-low", "a", driver.Low)
	put("a-critical", "a", driver.Critical)
	put("b-high", "b", driver.High)
	put("b-low", "b", driver.Low)
	s.put(d, level("normal", driver.Normal))
	c := s.consume(d, 1)
	s.next(c, "b-high", "the highest level of the groups' heads")
	s.next(c, "normal", "which is above the heads that are left")
	first := s.receiveOne(c)
	equal(s, first.ID == "a-low" || first.ID == "b-low", true, "whether the next is one of the low heads")
	s.settle(c, first, driver.OutcomeDone)
	left := map[string]bool{"a-low": true, "a-critical": true, "b-low": true}
	delete(left, first.ID)
	for len(left) > 0 {
		got := s.receiveOne(c)
		if !left[got.ID] || got.ID == "a-critical" && left["a-low"] {
			s.failf("%s was handed out, with %v left", got.ID, left)
		}
		delete(left, got.ID)
		s.settle(c, got, driver.OutcomeDone)
	}
}

func caseGroupClose(s *stage) {
	d := s.declared()
	s.putGroup(d, 2)
	c := s.consume(d, 2)
	s.receiveOne(c)
	s.check(c.Close(s.ctx), "close the consumer")
	other := s.consume(s.open(), 2)
	got := s.receiveBy(s.lease()+s.overdue(), other, 1)[0]
	equal(s, got.ID, name(0), "the group's next job after its holder was closed")
	s.settle(other, got, driver.OutcomeDone)
	s.next(other, name(1), "after the first was done")
}

func caseDepthGroup(s *stage) {
	d := s.declared()
	begin := s.history.Now()
	s.putGroup(d, 4)
	end := s.history.Now()
	s.waitDepth(d, driver.Depth{Waiting: 4})
	c := s.consume(d, 4)
	head := s.receiveOne(c)
	s.waitDepth(d, driver.Depth{Waiting: 3, Running: 1})
	s.pass(2 * rounding)
	s.wantAge(d, begin, end, "of what waits behind another of its group")
	s.settleRetry(c, head, time.Hour)
	s.waitDepth(d, driver.Depth{Waiting: 3, Scheduled: 1})
}

func caseGroupSettledTogether(s *stage) {
	d := s.declared()
	groups := []string{"done", "retry", "release", "dead"}
	for i, group := range groups {
		s.put(d, grouped(name(i), group), grouped(group+"-next", group))
	}
	c := s.consume(d, 8)
	held := s.receiveAll(c, 4)
	s.check(errors.Join(s.settleTogether(c,
		driver.Settlement{Delivery: held[0], Outcome: driver.OutcomeDone},
		driver.Settlement{Delivery: held[1], Outcome: driver.OutcomeRetry, Delay: time.Hour, Failures: 1, Error: "failed"},
		driver.Settlement{Delivery: held[2], Outcome: driver.OutcomeRelease},
		driver.Settlement{Delivery: held[3], Outcome: driver.OutcomeDead, Failures: 1, Reason: driver.ReasonPermanent, Error: "failed"},
	)...), "settle four heads at once")
	want := map[string]bool{"done-next": true, name(2): true, "dead-next": true}
	var all []*driver.Delivery
	for range 3 {
		got := s.receiveOne(c)
		if !want[got.ID] {
			s.failf("%s was handed out, want one of %v", got.ID, want)
		}
		delete(want, got.ID)
		all = append(all, got)
	}
	s.receiveNone(c, 100*time.Millisecond, "one of its group is held or waits for its retry")
	for _, got := range all {
		s.settle(c, got, driver.OutcomeDone)
	}
	s.next(c, "release-next", "after the released one was done")
	if _, ok := bare(d).(driver.Inspector); ok {
		s.check(capable[batch.Inspector](s, d).Delete(s.ctx, s.queue, name(1)), "delete the head that waits for its retry")
		s.next(c, "retry-next", "after its head was deleted")
	}
}
