package conformance

import (
	"context"
	"strings"
	"time"

	"github.com/batch-go/batch/driver"
)

var comebackCases = []Case{
	{Name: "comeback-release", Rule: "A released job comes before the newer ones of its level, where the broker allows that.", run: caseComebackRelease},
	{Name: "comeback-loss", Rule: "A job whose holder vanished comes before the newer ones of its level, where the broker allows that.", leases: true, run: caseComebackLoss},
	{Name: "abandon", Rule: "Deliveries that are abandoned come back, by the end of their leases at the latest, and those that are not are held.", leases: true, run: caseAbandon},
	{Name: "abandon-room", Rule: "A consumer that abandons more than its prefetch goes on to receive.", leases: true, run: caseAbandonRoom},
	{Name: "abandon-nothing", Rule: "Abandoning what is not held changes nothing, and neither does abandoning nothing.", leases: true, run: caseAbandonNothing},
	{Name: "dead-stripped", Rule: "A dead letter that is stripped has no headers and all without which a job cannot be read, and can be redriven.", run: caseDeadStripped},
	{Name: "stop-again", Rule: "A second Stop, a Stop after Close and a Close after Stop are no-ops, also beside each other.", run: caseStopAgain},
	{Name: "close-after-work", Rule: "A handle that has been used in every way closes at once, also twice at the same time.", run: caseCloseAfterWork},
	{Name: "consumers-apart", Rule: "Closing or stopping one consumer does not disturb another one of the same handle.", leases: true, run: caseConsumersApart},
}

// backlogExcused says whether the broker cannot hand out first what comes back, and
// notes that this was not checked.
func (s *stage) backlogExcused() bool {
	if s.harness.BehindBacklog != "" {
		s.untested("whether a job that comes back comes before newer ones: %s", s.harness.BehindBacklog)
	}
	return s.harness.BehindBacklog != ""
}

func caseComebackRelease(s *stage) {
	const jobs = 6
	d := s.declared()
	for i := range jobs {
		s.put(d, message(name(i)))
	}
	c := s.consume(d, 1)
	got := s.receiveOne(c)
	s.settle(c, got, driver.OutcomeRelease)
	if s.backlogExcused() {
		s.finish(d, jobs)
		return
	}
	for n := range jobs {
		again := s.receiveOne(c)
		if n == 0 {
			equal(s, again.ID, got.ID, "the first job after it was released")
			equal(s, again.Deliveries, 2, "its Deliveries")
		}
		s.settle(c, again, driver.OutcomeDone)
	}
	s.waitDepth(d, driver.Depth{})
}

func caseComebackLoss(s *stage) {
	const jobs = 6
	d := s.declared()
	s.put(d, message("old"))
	s.receiveOne(s.consume(d, 1))
	other := s.open()
	for i := range jobs {
		s.put(other, message(name(i)))
	}
	after := s.vanish(d)
	s.pass(after + s.harness.Slack)
	c := s.consume(other, 1)
	if s.backlogExcused() {
		for range jobs + 1 {
			s.settle(c, s.receiveBy(s.overdue(), c, 1)[0], driver.OutcomeDone)
		}
		return
	}
	// A broker may look for ended leases only when it is asked for a job.
	first, second := s.receiveBy(s.overdue(), c, 1)[0], (*driver.Delivery)(nil)
	if first.ID != "old" {
		s.settle(c, first, driver.OutcomeDone)
		second = s.receiveOne(c)
		equal(s, second.ID, "old", "the second job, as the first was not the one whose holder had vanished")
		first = second
	}
	equal(s, first.Redeliveries, 1, "Redeliveries of the job whose holder vanished")
	s.settle(c, first, driver.OutcomeDone)
}

func caseAbandon(s *stage) {
	const jobs = 4
	d := s.declared()
	s.put(d, messages(jobs)...)
	c := s.consume(d, jobs)
	held := s.receiveAll(c, jobs)
	begin := s.history.Now()
	c.Abandon(s.ctx, held[1:3])
	other := s.consume(s.open(), jobs)
	opened := s.history.Now()
	seen := make(map[string]bool)
	ctx, cancel := context.WithCancel(s.ctx)
	kept := make(chan error, 1)
	go func() { kept <- keep(ctx, c, max(s.lease(), 400*time.Millisecond), held[0], held[3]) }()
	for range 2 {
		got := s.receiveBy(s.lease()+s.overdue(), other, 1)[0]
		seen[got.ID] = true
		if got.Redeliveries > 1 {
			s.failf("Redeliveries of %s, which was abandoned, is %d", got.ID, got.Redeliveries)
		}
		equal(s, got.Failures, 0, "Failures of %s", got.ID)
		equal(s, got.Deliveries, 2, "Deliveries of %s", got.ID)
		s.settle(other, got, driver.OutcomeDone)
	}
	now := s.history.Now()
	cancel()
	s.check(<-kept, "extend what was not abandoned")
	s.handedOver("what was abandoned", begin+s.lease(), opened, now)
	equal(s, seen[name(1)] && seen[name(2)], true, "whether what was abandoned came back")
	s.settle(c, held[0], driver.OutcomeDone)
	s.settle(c, held[3], driver.OutcomeRelease)
	s.next(other, name(3), "which was released by the consumer that abandoned others")
	s.check(other.Stop(s.ctx), "stop the other consumer, to which the broker may push the next job")
	s.put(d, message("next"))
	got := s.receiveOne(c)
	equal(s, got.ID, "next", "the next job of the consumer that abandoned some")
	s.settle(c, got, driver.OutcomeDone)
	s.waitDepth(d, driver.Depth{})
}

func caseAbandonRoom(s *stage) {
	const prefetch, rounds = 2, 3
	d := s.declared()
	s.put(d, messages(prefetch*rounds)...)
	c := s.consume(d, prefetch)
	for range rounds {
		held := s.receiveBy(s.lease()+s.overdue(), c, prefetch)
		c.Abandon(s.ctx, held)
	}
	seen := make(map[string]bool)
	for len(seen) < prefetch*rounds {
		got := s.receiveBy(s.lease()+s.overdue(), c, 1)[0]
		seen[got.ID] = true
		s.settle(c, got, driver.OutcomeDone)
	}
	s.waitDepth(d, driver.Depth{})
}

func caseAbandonNothing(s *stage) {
	d := s.declared()
	s.put(d, messages(3)...)
	c := s.consume(d, 3)
	held := s.receiveAll(c, 3)
	s.settle(c, held[0], driver.OutcomeDone)
	s.settleRetry(c, held[1], time.Hour)
	for range 2 {
		c.Abandon(s.ctx, nil)
		c.Abandon(s.ctx, held[:2])
	}
	s.check(only(c.Extend(s.ctx, held[2:])), "extend what was not abandoned")
	s.receiveNone(s.consume(s.open(), 1), 100*time.Millisecond, "what was abandoned had been settled before")
	s.settle(c, held[2], driver.OutcomeDone)
	s.waitDepth(d, driver.Depth{Scheduled: 1})
	ended, cancel := context.WithCancel(s.ctx)
	cancel()
	c.Abandon(ended, held[:2])
	s.check(c.Close(s.ctx), "close the consumer")
	c.Abandon(s.ctx, held)
	s.waitDepth(d, driver.Depth{Scheduled: 1})
}

func caseDeadStripped(s *stage) {
	d := s.declared()
	m := full("full")
	m.Headers["long"] = strings.Repeat("v", 2000)
	s.withCapabilities(d, m)
	s.put(d, m, message("plain"))
	c := s.consume(d, 2)
	for _, got := range s.receive(c, 2) {
		s.settleAs(c, driver.Settlement{
			Delivery: got, Outcome: driver.OutcomeDead, Failures: 3, Reason: driver.ReasonTooLarge, Error: "headers are missing", Strip: true,
		})
	}
	for _, dead := range s.waitDeadLetters(d, 2) {
		equal(s, len(dead.Headers), 0, "headers of the stripped dead letter %s", dead.ID)
		equal(s, dead.Reason, driver.ReasonTooLarge, "Reason of %s", dead.ID)
		equal(s, dead.LastError, "headers are missing", "LastError of %s", dead.ID)
		equal(s, dead.Failures, 3, "Failures of %s", dead.ID)
		equal(s, string(dead.Body), string(m.Body), "Body of %s", dead.ID)
		if dead.ID == m.ID {
			equal(s, dead.Kind, m.Kind, "Kind")
			equal(s, dead.ContentType, m.ContentType, "ContentType")
		}
	}
	n, err := d.Redrive(s.ctx, s.queue, driver.Selection{All: true})
	s.check(err, "redrive stripped dead letters")
	equal(s, n, 2, "dead letters redriven")
	for _, got := range s.receive(c, 2) {
		equal(s, string(got.Body), string(m.Body), "Body of %s after its redrive", got.ID)
		s.settle(c, got, driver.OutcomeDone)
	}
}

func caseStopAgain(s *stage) {
	d := s.declared()
	c := s.consume(d, 2)
	ended := make(chan error, 6)
	for i := range 6 {
		go func() {
			if i%2 == 0 {
				ended <- c.Stop(s.ctx)
			} else {
				ended <- c.Close(s.ctx)
			}
		}()
	}
	for range 6 {
		s.check(<-ended, "stop and close a consumer several times at the same time")
	}
	s.is(s.receiveError(c), driver.ErrClosed, "Receive afterwards")
	s.put(d, message("job"))
	s.next(s.consume(d, 1), "job", "by another consumer of the handle")
}

func caseCloseAfterWork(s *stage) {
	d := s.declared()
	c, running := s.fill(d)
	s.check(only(c.Extend(s.ctx, []*driver.Delivery{running})), "extend")
	s.check(c.Stop(s.ctx), "stop")
	_, err := d.Redrive(s.ctx, s.queue, driver.Selection{All: true})
	s.check(err, "redrive")
	begin := s.history.Now()
	ended := make(chan error, 3)
	for range 3 {
		go func() { ended <- d.Close(s.ctx) }()
	}
	for range 3 {
		s.check(<-ended, "close a handle three times at the same time")
	}
	s.check(Within("closing", begin, s.history.Now(), 0, s.patience()), "measure")
	other := s.open()
	s.check(other.Close(s.ctx), "close a handle that was not used")
}

func caseConsumersApart(s *stage) {
	d := s.declared()
	s.put(d, messages(4)...)
	one, two, three := s.consume(d, 1), s.consume(d, 1), s.consume(d, 1)
	held := s.receiveOne(one)
	lost := s.receiveOne(two)
	stopped := s.receiveOne(three)
	s.check(two.Close(s.ctx), "close another consumer of the handle")
	s.check(three.Stop(s.ctx), "stop another consumer of the handle")
	s.check(only(one.Extend(s.ctx, []*driver.Delivery{held})), "extend after another consumer was closed")
	s.settle(one, held, driver.OutcomeDone)
	s.settle(three, stopped, driver.OutcomeDone)
	left := map[string]bool{name(0): true, name(1): true, name(2): true, name(3): true}
	delete(left, held.ID)
	delete(left, stopped.ID)
	for len(left) > 0 {
		got := s.receiveBy(s.lease()+s.overdue(), one, 1)[0]
		if !left[got.ID] {
			s.failf("%s was handed out, want %v", got.ID, left)
		}
		if got.ID == lost.ID {
			equal(s, got.Deliveries, 2, "Deliveries of what the closed consumer held")
		}
		delete(left, got.ID)
		s.settle(one, got, driver.OutcomeDone)
	}
}
