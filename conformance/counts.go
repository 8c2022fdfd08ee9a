package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var countsCases = []Case{
	{Name: "depth-steps", Rule: "Depth follows a job through each of its states: received, released, retried, dead, redriven, discarded.", run: caseDepthSteps},
	{Name: "depth-loss", Rule: "Depth follows a job whose holder vanished: it waits again, and is counted once.", leases: true, run: caseDepthLoss},
	{Name: "depth-redrive", Rule: "The age of a redriven job counts from its redrive, and so does that of a retried one from its retry.", timed: true, run: caseDepthRedrive},
	{Name: "count-deliveries", Rule: "Deliveries counts every time that a job was handed out: after releases, retries and lost holders.", leases: true, run: caseCountDeliveries},
	{Name: "release-many", Rule: "However often a job is released, by one consumer or several, no holder is lost, and a worker runs it.", run: caseReleaseMany},
	{Name: "retry-history", Rule: "Each retry replaces the failures and the error of the one before, also by less and by none.", run: caseRetryHistory},
	{Name: "redrive-clean", Rule: "A redriven job has no history at all, wherever it is looked at, and dies with its new one.", run: caseRedriveClean},
	{Name: "delete-running", Rule: "When a queue is deleted, what runs is lost: its settlements and extensions are ErrLeaseLost, and nothing comes back on a queue of that name.", leases: true, run: caseDeleteRunning},
	{Name: "redeclare-empty", Rule: "A queue that is declared again after it was deleted has nothing of the first: no job in any state, no pause, no count.", run: caseRedeclareEmpty},
}

func caseDepthSteps(s *stage) {
	d := s.declared()
	s.put(d, messages(3)...)
	s.waitDepth(d, driver.Depth{Waiting: 3})
	c := s.consume(d, 1)
	s.settle(c, s.receiveOne(c), driver.OutcomeRelease)
	got := s.receiveOne(c)
	s.check(c.Stop(s.ctx), "stop the consumer, which gives back what it has fetched")
	s.waitDepth(d, driver.Depth{Waiting: 2, Running: 1})
	s.settleRetry(c, got, time.Hour)
	s.waitDepth(d, driver.Depth{Waiting: 2, Scheduled: 1})
	s.check(c.Close(s.ctx), "close the consumer")

	c = s.consume(d, 1)
	got = s.receiveOne(c)
	s.check(c.Stop(s.ctx), "stop the consumer")
	s.waitDepth(d, driver.Depth{Waiting: 1, Scheduled: 1, Running: 1})
	s.settleDead(c, got)
	s.waitDepth(d, driver.Depth{Waiting: 1, Scheduled: 1, Dead: 1})
	s.check(c.Close(s.ctx), "close the consumer")
	n, err := d.Redrive(s.ctx, s.queue, driver.Selection{All: true})
	s.check(err, "redrive")
	equal(s, n, 1, "dead letters redriven")
	s.waitDepth(d, driver.Depth{Waiting: 2, Scheduled: 1})

	c = s.consume(d, 1)
	for range 2 {
		s.settleDead(c, s.receiveOne(c))
	}
	s.waitDepth(d, driver.Depth{Scheduled: 1, Dead: 2})
	n, err = d.Discard(s.ctx, s.queue, driver.Selection{IDs: []string{got.ID}})
	s.check(err, "discard")
	equal(s, n, 1, "dead letters discarded")
	s.waitDepth(d, driver.Depth{Scheduled: 1, Dead: 1})
}

func caseDepthLoss(s *stage) {
	d := s.declared()
	s.put(d, message("job"))
	s.receiveOne(s.consume(d, 1))
	after := s.vanish(d)
	d = s.open()
	c := s.consume(d, 1)
	got := s.receiveBy(after+s.overdue(), c, 1)[0]
	ctx, cancel := context.WithCancel(s.ctx)
	kept := make(chan error, 1)
	go func() { kept <- keep(ctx, c, max(s.lease(), 400*time.Millisecond), got) }()
	s.waitDepth(d, driver.Depth{Running: 1})
	cancel()
	s.check(<-kept, "extend")
	s.settle(c, got, driver.OutcomeRelease)
	s.check(c.Stop(s.ctx), "stop the consumer")
	s.waitDepth(d, driver.Depth{Waiting: 1})
	s.finish(d, 1)
	s.waitDepth(d, driver.Depth{})
	equal(s, len(s.deadLetters(d, 10)), 0, "dead letters")
}

func caseDepthRedrive(s *stage) {
	d := s.declared()
	s.put(d, message("job"))
	s.pass(1200 * time.Millisecond)
	c := s.consume(d, 1)
	got := s.receiveOne(c)
	begin := s.history.Now()
	s.settleRetry(c, got, 0)
	end := s.history.Now()
	s.check(c.Stop(s.ctx), "stop the consumer")
	s.check(c.Close(s.ctx), "close the consumer")
	s.wantAge(d, begin, end+waitsBy, "of a job that was retried")
	c = s.consume(d, 1)
	s.settleDead(c, s.receiveOne(c))
	s.waitDeadLetters(d, 1)
	s.check(c.Close(s.ctx), "close the consumer")
	s.pass(1200 * time.Millisecond)
	s.wantNoAge(d, "of a queue with a dead letter")
	begin = s.history.Now()
	_, err := d.Redrive(s.ctx, s.queue, driver.Selection{All: true})
	s.check(err, "redrive")
	s.wantAge(d, begin, s.history.Now(), "of a job that was redriven")
}

func caseCountDeliveries(s *stage) {
	d, c, got := s.holder()
	want := 1
	for round := range 3 {
		equal(s, got.Deliveries, want, "Deliveries in round %d", round)
		s.settle(c, got, driver.OutcomeRelease)
		got = s.receiveOne(c)
		want++
		equal(s, got.Deliveries, want, "Deliveries after a release in round %d", round)
		s.settleRetry(c, got, 0)
		got = s.receiveOne(c)
		want++
		equal(s, got.Deliveries, want, "Deliveries after a retry in round %d", round)
		equal(s, got.Failures, round+1, "Failures in round %d", round)
		d, c, got = s.nextHolder(d)
		want++
	}
	equal(s, got.Deliveries, want, "Deliveries at last")
	s.settleDead(c, got)
	equal(s, s.waitDeadLetters(d, 1)[0].Deliveries, want, "Deliveries of the dead letter")
}

func caseReleaseMany(s *stage) {
	const releases = 25
	q := s.portable()
	enqueue(s, q, 0, batch.MaxAttempts(q, 1))
	consumers := []driver.Consumer{s.consume(q.Driver(), 1)}
	other := s.open()
	for n := range releases {
		c := consumers[0]
		got := s.receiveOne(c)
		equal(s, got.Redeliveries, 0, "Redeliveries after %d releases", n)
		equal(s, got.Failures, 0, "Failures after %d releases", n)
		equal(s, got.Deliveries, n+1, "Deliveries after %d releases", n)
		s.settle(c, got, driver.OutcomeRelease)
		if n == releases/2 {
			s.check(c.Close(s.ctx), "close the consumer")
			consumers[0] = s.consume(other, 1)
		}
	}
	s.check(consumers[0].Close(s.ctx), "close the consumer")
	before := s.history.Count(Started)
	s.work(s.open(), nothing, func(c *batch.WorkerConfig) { c.MaxRedeliveries = 1 })
	s.waitCount(1, Done, Died)
	equal(s, s.history.Count(Done), 1, "jobs done after %d releases", releases)
	equal(s, s.history.Count(Started), before+1, "starts")
	s.waitDepth(q.Driver(), driver.Depth{})
}

func caseRetryHistory(s *stage) {
	d := s.declared()
	s.put(d, message("job"))
	c := s.consume(d, 1)
	got := s.receiveOne(c)
	for n, h := range []struct {
		failures int
		text     string
		delay    time.Duration
	}{{3, "third", 0}, {1, "", 0}, {1_000_000, "many", 30 * time.Millisecond}, {0, "", 0}, {2, "second", 30 * time.Millisecond}, {0, "", 30 * time.Millisecond}} {
		s.settleAs(c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeRetry, Delay: h.delay, Failures: h.failures, Error: h.text})
		got = s.receiveOne(c)
		equal(s, got.Failures, h.failures, "Failures after retry %d", n)
		equal(s, got.LastError, h.text, "LastError after retry %d", n)
	}
	s.settle(c, got, driver.OutcomeDone)
}

func caseRedriveClean(s *stage) {
	d, c, got := s.holder()
	b := someBounces(3)
	s.settleAs(c, b.retry(got, 0))
	s.settleAs(c, b.dead(s.receiveOne(c)))
	s.waitDeadLetters(d, 1)
	n, err := d.Redrive(s.ctx, s.queue, driver.Selection{IDs: []string{got.ID}})
	s.check(err, "redrive")
	equal(s, n, 1, "dead letters redriven")
	if _, ok := bare(d).(driver.Inspector); ok {
		e := s.waitList(d, driver.StateWaiting, got.ID)[0]
		equal(s, e.Failures+e.Deliveries, 0, "Failures and Deliveries of the redriven job in the list")
		equal(s, e.LastError+e.Reason, "", "LastError and Reason of the redriven job in the list")
	}
	got = s.receiveOne(c)
	equal(s, got.Failures, 0, "Failures after a redrive")
	equal(s, got.LastError, "", "LastError after a redrive")
	equal(s, got.Deliveries, 1, "Deliveries after a redrive")
	s.settleAs(c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDead, Failures: 1, Reason: driver.ReasonPermanent, Error: "anew"})
	dead := s.waitDeadLetters(d, 1)[0]
	equal(s, dead.Failures, 1, "Failures of the new dead letter")
	equal(s, dead.Deliveries, 1, "Deliveries of the new dead letter")
	equal(s, dead.Reason, driver.ReasonPermanent, "Reason of the new dead letter")
	equal(s, dead.LastError, "anew", "LastError of the new dead letter")
}

func caseDeleteRunning(s *stage) {
	outcomes := []driver.Outcome{driver.OutcomeDone, driver.OutcomeRetry, driver.OutcomeRelease, driver.OutcomeDead}
	d := s.declared()
	s.put(d, messages(len(outcomes))...)
	c := s.consume(d, len(outcomes))
	held := s.receiveAll(c, len(outcomes))
	s.check(s.open().DeleteQueue(s.ctx, s.queue), "delete the queue")
	// The server of a cluster that has the leases may be told a moment later.
	s.eventually("the end of the leases of a queue that was deleted", func() error {
		if err := only(c.Extend(s.ctx, held[:1])); !errors.Is(err, driver.ErrLeaseLost) {
			return fmt.Errorf("the error of Extend is %v, want one that wraps %q", err, driver.ErrLeaseLost)
		}
		return nil
	})
	for i, outcome := range outcomes {
		s.is(only(c.Extend(s.ctx, held[i:i+1])), driver.ErrLeaseLost, "extend what ran on a queue that was deleted")
		s.is(only(c.Settle(s.ctx, []driver.Settlement{{Delivery: held[i], Outcome: outcome, Failures: 1, Reason: driver.ReasonPermanent}})),
			driver.ErrLeaseLost, "settle as %s what ran on a queue that was deleted", outcome)
	}
	other := s.declared()
	s.receiveNone(s.consume(other, 1), max(s.lease()+s.lease()/2, 300*time.Millisecond), "its queue was deleted")
	s.waitDepth(other, driver.Depth{})
	equal(s, len(s.deadLetters(other, 10)), 0, "dead letters of the new queue")
}

func caseRedeclareEmpty(s *stage) {
	d := s.declared()
	s.fill(d)
	if p, ok := bare(d).(driver.Pauser); ok {
		s.check(p.Pause(s.ctx, s.queue), "pause")
	}
	s.check(s.open().DeleteQueue(s.ctx, s.queue), "delete the queue")
	d = s.declared()
	s.waitDepth(d, driver.Depth{})
	equal(s, len(s.deadLetters(d, 10)), 0, "dead letters of the new queue")
	n, err := d.Redrive(s.ctx, s.queue, driver.Selection{All: true})
	s.check(err, "redrive")
	equal(s, n, 0, "dead letters redriven on the new queue")
	s.put(d, message("new"))
	c := s.consume(d, 1)
	got := s.receiveOne(c)
	equal(s, got.ID, "new", "the job of the new queue")
	equal(s, got.Deliveries, 1, "its Deliveries")
	s.settle(c, got, driver.OutcomeDone)
	s.waitDepth(d, driver.Depth{})
}
