package conformance

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/batch-go/batch/driver"
)

var settleCases = []Case{
	{Name: "done-removes", Rule: "A job that was settled as done is gone: neither waiting nor dead.", leases: true, run: caseDoneRemoves},
	{Name: "release", Rule: "A released job is available again at once, its failures as they were.", timed: true, run: caseRelease},
	{Name: "retry-delay", Rule: "A retry is not handed out before its delay and no more than a second after it.", timed: true, run: caseRetryDelay},
	{Name: "retry-at-once", Rule: "A retry without delay is available again at once.", timed: true, run: caseRetryAtOnce},
	{Name: "retry-mixed", Rule: "Retries with different delays do not hold each other up.", timed: true, run: caseRetryMixed},
	{Name: "retry-longest", Rule: "A retry of MaxRetryDelay is taken and held back.", run: caseRetryLongest},
	{Name: "retry-unattended", Rule: "A retry becomes available although no handle was open when it fell due.", timed: true, run: caseRetryUnattended},
	{Name: "settle-mixed", Rule: "One Settle may end deliveries in every way, each as it says.", run: caseSettleMixed},
	{Name: "settle-batch", Rule: "One Settle takes SettleBatch settlements.", heavy: true, leases: true, run: caseSettleBatch},
	{Name: "settle-twice", Rule: "A second settlement of a delivery is ErrLeaseLost and changes nothing.", run: caseSettleTwice},
	{Name: "receive-bounds", Rule: "A Receive of less than one job, or of more than ReceiveBatch, is refused with ErrConfig and takes nothing.", run: caseReceiveBounds},
	{Name: "receive-batch", Rule: "Receive returns no more than it is asked for, and does not wait for more than there are.", run: caseReceiveBatch},
	{Name: "receive-concurrent", Rule: "As many Receive calls as Limits.Receivers run at once, and no job is handed to two of them.", run: caseReceiveConcurrent},
}

func caseDoneRemoves(s *stage) {
	d := s.declared()
	s.put(d, message("job"))
	c := s.consume(d, 1)
	s.settle(c, s.receiveOne(c), driver.OutcomeDone)
	s.waitDepth(d, driver.Depth{})
	s.receiveNone(c, max(s.lease()+200*time.Millisecond, 500*time.Millisecond), "it was settled as done")
	equal(s, len(s.deadLetters(d, 10)), 0, "dead letters")
}

func caseRelease(s *stage) {
	d := s.declared()
	s.put(d, message("job"))
	c := s.consume(d, 1)
	s.settleAs(c, driver.Settlement{Delivery: s.receiveOne(c), Outcome: driver.OutcomeRetry, Failures: 2, Error: "before"})
	for n := range 3 {
		got := s.receiveOne(c)
		equal(s, got.Failures, 2, "Failures after %d releases", n)
		equal(s, got.LastError, "before", "LastError after %d releases", n)
		equal(s, got.Deliveries, n+2, "Deliveries after %d releases", n)
		if n > 0 {
			s.check(Within("the released job", s.lastReturn(), s.history.Now(), 0, s.lateness()), "measure")
		}
		s.settle(c, got, driver.OutcomeRelease)
	}
	s.settle(c, s.receiveOne(c), driver.OutcomeDone)
	s.waitDepth(d, driver.Depth{})
}

// lastReturn is when a job was last given back.
func (s *stage) lastReturn() time.Duration {
	at := time.Duration(0)
	for _, e := range s.history.Events() {
		if e.Op == Returned {
			at = e.At
		}
	}
	return at
}

func caseRetryDelay(s *stage) {
	d := s.declared()
	c := s.consume(d, 1)
	for i, delay := range []time.Duration{time.Millisecond, 333 * time.Millisecond, 1500 * time.Millisecond} {
		s.put(d, message(name(i)))
		begin, end := s.settleRetry(c, s.receiveOne(c), delay)
		again := s.receiveBy(delay, c, 1)[0]
		now := s.history.Now()
		s.check(Within(fmt.Sprintf("the retry after %s", delay), begin, now, delay, now), "measure")
		s.check(Within(fmt.Sprintf("the retry after %s", delay), end, now, 0, delay+s.lateness()), "measure")
		equal(s, again.ID, name(i), "the job that came back")
		equal(s, again.Failures, 1, "Failures")
		equal(s, again.LastError, "failed", "LastError")
		equal(s, again.Deliveries, 2, "Deliveries")
		s.settle(c, again, driver.OutcomeDone)
	}
}

func caseRetryAtOnce(s *stage) {
	d := s.declared()
	s.put(d, message("job"))
	c := s.consume(d, 1)
	for n := range 3 {
		got := s.receiveOne(c)
		equal(s, got.Failures, n, "Failures")
		equal(s, got.Deliveries, n+1, "Deliveries")
		_, end := s.settleRetry(c, got, 0)
		if n == 2 {
			got = s.receiveOne(c)
			s.check(Within("the retry without delay", end, s.history.Now(), 0, s.lateness()), "measure")
			s.settle(c, got, driver.OutcomeDone)
		}
	}
}

// mixedDelays are delays for which the order of enqueue is not that of time.
var mixedDelays = []time.Duration{time.Hour, 1600 * time.Millisecond, 100 * time.Millisecond, 800 * time.Millisecond, 400 * time.Millisecond}

func caseRetryMixed(s *stage) {
	d := s.declared()
	s.put(d, messages(len(mixedDelays))...)
	c := s.consume(d, len(mixedDelays))
	delays, begins := make(map[string]time.Duration), make(map[string]time.Duration)
	got := s.receive(c, len(mixedDelays))
	for i, delivery := range got {
		delays[delivery.ID] = mixedDelays[i]
		begins[delivery.ID], _ = s.settleRetry(c, delivery, mixedDelays[i])
	}
	for range len(mixedDelays) - 1 {
		again := s.receiveBy(2*time.Second, c, 1)[0]
		now, delay := s.history.Now(), delays[again.ID]
		s.check(Within(fmt.Sprintf("the retry after %s", delay), begins[again.ID], now, delay, delay+s.lateness()), "measure")
		s.settle(c, again, driver.OutcomeDone)
	}
}

func caseRetryLongest(s *stage) {
	d := s.declared()
	s.put(d, message("job"))
	c := s.consume(d, 1)
	s.settleRetry(c, s.receiveOne(c), s.info.Limits.MaxRetryDelay)
	s.waitDepth(d, driver.Depth{Scheduled: 1})
	if _, ok := bare(d).(driver.Inspector); ok {
		s.dueIn(s.waitList(d, driver.StateScheduled, "job")[0], s.info.Limits.MaxRetryDelay)
	}
	s.receiveNone(c, 300*time.Millisecond, "its retry is to be held back for "+s.info.Limits.MaxRetryDelay.String())
}

// dueIn ends the case unless an entry is due after d, to a minute.
func (s *stage) dueIn(e driver.Entry, d time.Duration) {
	if off := time.Until(e.DueAt) - d; off < -time.Minute || off > time.Minute {
		s.failf("DueAt of %s is %s, want %s from now", e.ID, e.DueAt, d)
	}
}

func caseRetryUnattended(s *stage) {
	d := s.declared()
	s.put(d, message("job"))
	c := s.consume(d, 1)
	const delay = 300 * time.Millisecond
	begin, _ := s.settleRetry(c, s.receiveOne(c), delay)
	s.check(d.Close(s.ctx), "close the handle")
	s.pass(2 * delay)
	c = s.consume(s.open(), 1)
	opened := s.history.Now()
	got := s.receiveOne(c)
	now := s.history.Now()
	s.check(Within("the retry", begin, now, delay, now), "measure")
	s.check(Within("the overdue retry", opened, now, 0, s.lateness()), "measure")
	s.settle(c, got, driver.OutcomeDone)
}

func caseSettleMixed(s *stage) {
	d := s.declared()
	s.put(d, messages(4)...)
	if s.info.Limits.SettleBatch < 4 {
		s.caseSettleOneByOne(d)
		return
	}
	c := s.consume(d, 4)
	got := s.receive(c, 4)
	byID := make(map[string]*driver.Delivery)
	for _, delivery := range got {
		byID[delivery.ID] = delivery
	}
	errs := c.Settle(s.ctx, []driver.Settlement{
		{Delivery: byID[name(0)], Outcome: driver.OutcomeDone},
		{Delivery: byID[name(1)], Outcome: driver.OutcomeRetry, Delay: time.Hour, Failures: 1, Error: "failed"},
		{Delivery: byID[name(2)], Outcome: driver.OutcomeRelease},
		{Delivery: byID[name(3)], Outcome: driver.OutcomeDead, Failures: 1, Reason: driver.ReasonPermanent, Error: "failed"},
	})
	if errs != nil && len(errs) != 4 {
		s.failf("Settle of 4 returned %d errors", len(errs))
	}
	s.check(errors.Join(errs...), "settle four at once")
	s.waitDepth(d, driver.Depth{Waiting: 1, Scheduled: 1, Dead: 1})
	released := s.receiveOne(c)
	equal(s, released.ID, name(2), "the job that is available")
	equal(s, s.waitDeadLetters(d, 1)[0].ID, name(3), "the dead letter")
	s.settle(c, released, driver.OutcomeDone)
}

// caseSettleOneByOne is settle-mixed for brokers that settle one at a time.
func (s *stage) caseSettleOneByOne(d driver.Driver) {
	c := s.consume(d, 1)
	s.settle(c, s.receiveOne(c), driver.OutcomeDone)
	s.settleRetry(c, s.receiveOne(c), time.Hour)
	s.settleDead(c, s.receiveOne(c))
	s.waitDepth(d, driver.Depth{Waiting: 1, Scheduled: 1, Dead: 1})
}

func caseSettleBatch(s *stage) {
	d := s.declared()
	n := s.info.Limits.SettleBatch
	s.put(d, messages(n)...)
	c := s.consume(d, n)
	var settlements []driver.Settlement
	for _, delivery := range s.receive(c, n) {
		settlements = append(settlements, driver.Settlement{Delivery: delivery, Outcome: driver.OutcomeDone})
	}
	s.check(errors.Join(c.Settle(s.ctx, settlements)...), "settle %d at once", n)
	s.waitDepth(d, driver.Depth{})
	s.receiveNone(c, max(s.lease()+200*time.Millisecond, 300*time.Millisecond), "all were settled as done")
}

func caseSettleTwice(s *stage) {
	d := s.declared()
	c := s.consume(d, 1)
	for i, second := range []driver.Outcome{driver.OutcomeDone, driver.OutcomeRetry, driver.OutcomeRelease, driver.OutcomeDead} {
		s.put(d, message(name(i)))
		got := s.receiveOne(c)
		s.settle(c, got, driver.OutcomeDone)
		err := only(c.Settle(s.ctx, []driver.Settlement{{Delivery: got, Outcome: second, Failures: 1, Reason: driver.ReasonPermanent}}))
		s.is(err, driver.ErrLeaseLost, "settle as %s what was settled as done", second)
	}
	s.put(d, message("retried"))
	got := s.receiveOne(c)
	s.settleRetry(c, got, 0)
	s.is(only(c.Settle(s.ctx, []driver.Settlement{{Delivery: got, Outcome: driver.OutcomeDone}})), driver.ErrLeaseLost, "settle as done what was settled as a retry")
	again := s.receiveOne(c)
	s.is(only(c.Settle(s.ctx, []driver.Settlement{{Delivery: got, Outcome: driver.OutcomeDone}})), driver.ErrLeaseLost, "settle the first delivery as done while the second is held")
	s.check(only(c.Extend(s.ctx, []*driver.Delivery{again})), "extend the second delivery")
	s.settle(c, again, driver.OutcomeDone)
	s.waitDepth(d, driver.Depth{})
	equal(s, len(s.deadLetters(d, 10)), 0, "dead letters after settling twice")
}

func caseReceiveBatch(s *stage) {
	d := s.declared()
	s.put(d, messages(5)...)
	c := s.consume(d, 20)
	left := 5
	for left > 0 {
		most := min(2, s.info.Limits.ReceiveBatch)
		if left <= 3 {
			most = s.info.Limits.ReceiveBatch
		}
		ctx, cancel := s.soon()
		got, err := c.Receive(ctx, most)
		cancel()
		s.check(err, "receive with %d left", left)
		if len(got) == 0 || len(got) > most || len(got) > left {
			s.failf("Receive of at most %d with %d left returned %d", most, left, len(got))
		}
		left -= len(got)
		for _, delivery := range got {
			s.settle(c, delivery, driver.OutcomeDone)
		}
	}
}

func caseReceiveBounds(s *stage) {
	d := s.declared()
	s.put(d, message("job"))
	c := s.consume(d, 1)
	for _, most := range []int{0, -1, math.MinInt, s.info.Limits.ReceiveBatch + 1, math.MaxInt} {
		ctx, cancel := s.soon()
		got, err := c.Receive(ctx, most)
		cancel()
		equal(s, len(got), 0, "jobs of a Receive of at most %d", most)
		s.is(err, driver.ErrConfig, "Receive of at most %d", most)
		s.notStored(err, "Receive of at most %d", most)
	}
	got := s.receiveOne(c)
	equal(s, got.Deliveries, 1, "Deliveries after what was refused")
	s.settle(c, got, driver.OutcomeDone)
}

func caseReceiveConcurrent(s *stage) {
	const jobs = 200
	d := s.declared()
	s.put(d, messages(jobs)...)
	c := s.consume(d, jobs)
	receivers := min(s.info.Limits.Receivers, 16)
	results := make(chan error, receivers)
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	for range receivers {
		go func() {
			for s.history.Count(Done) < jobs {
				call, end := context.WithTimeout(ctx, s.patience())
				got, err := c.Receive(call, 1)
				end()
				if err != nil {
					if s.history.Count(Done) >= jobs {
						err = nil // it waited for one more when the last was done
					}
					results <- err
					return
				}
				for _, delivery := range got {
					s.history.Add(Event{Op: Started, ID: delivery.ID})
					if err := only(c.Settle(ctx, []driver.Settlement{{Delivery: delivery, Outcome: driver.OutcomeDone}})); err != nil {
						results <- err
						return
					}
					s.history.Add(Event{Op: Done, ID: delivery.ID})
					if s.history.Count(Done) >= jobs {
						cancel()
					}
				}
			}
			results <- nil
		}()
	}
	for range receivers {
		s.check(<-results, "receive and settle with %d of %d done", s.history.Count(Done), jobs)
	}
	s.check(ExactCover(s.history.Events(), names(jobs)), "judge the history")
}
