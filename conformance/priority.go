package conformance

import (
	"context"
	"fmt"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var prioritizer = []string{"Prioritizer"}

var priorityCases = []Case{
	{Name: "priority-backlog", Rule: "A backlog over five levels is handed out strictly by level.", Needs: prioritizer, run: casePriorityBacklog},
	{Name: "priority-late", Rule: "A job of a higher level that is enqueued late is the next to be handed out.", Needs: prioritizer, run: casePriorityLate},
	{Name: "priority-prefetch", Rule: "A job of a higher level overtakes all that a worker has not prefetched yet.", Needs: prioritizer, run: casePriorityPrefetch},
	{Name: "priority-batch", Rule: "One Receive of many returns jobs of a higher level first.", Needs: prioritizer, run: casePriorityBatch},
	{Name: "priority-due", Rule: "A retry that has become due comes after what waits at higher levels.", Needs: prioritizer, timed: true, run: casePriorityDue},
	{Name: "priority-after-retry", Rule: "A job keeps its level across a retry.", Needs: prioritizer, timed: true, run: casePriorityAfterRetry},
	{Name: "priority-after-release", Rule: "A job keeps its level across a release.", Needs: prioritizer, run: casePriorityAfterRelease},
	{Name: "priority-after-redrive", Rule: "A job keeps its level across a redrive.", Needs: prioritizer, run: casePriorityAfterRedrive},
	{Name: "priority-after-loss", Rule: "A job keeps its level when its holder vanishes.", Needs: prioritizer, leases: true, run: casePriorityAfterLoss},
	{Name: "priority-after-delay", Rule: "A job keeps its level across a delay.", Needs: []string{"Prioritizer", "Delayer"}, timed: true, run: casePriorityAfterDelay},
}

var levels = []batch.Level{batch.Trivial, batch.Low, batch.Normal, batch.High, batch.Critical}

func casePriorityBacklog(s *stage) {
	const jobs = 100
	q := queueOf[batch.Prioritizer](s, s.open())
	for n := range jobs {
		l := levels[s.random.IntN(len(levels))]
		receipt, err := q.Enqueue(s.ctx, task{N: n}, batch.ID(q, name(n)), batch.Priority(q, l))
		s.check(err, "enqueue")
		s.history.Add(Event{Op: Enqueued, ID: receipt.ID, Level: l})
	}
	s.work(s.open(), nothing)
	s.waitCount(jobs, Done)
	events := s.history.Events()
	s.check(ExactCover(events, names(jobs)), "judge the history")
	s.check(PriorityOrder(events), "judge the history")
}

func casePriorityLate(s *stage) {
	d := s.declared()
	for i := range 10 {
		s.put(d, level(name(i), driver.Low))
	}
	c := s.consume(d, 1)
	for i, l := range []driver.Level{driver.Normal, driver.Critical, driver.High} {
		s.settle(c, s.receiveOne(c), driver.OutcomeDone)
		// A consumer of one job may have the next in hand when it settles the one
		// before; a new one has not.
		s.check(c.Close(s.ctx), "close the consumer")
		id := fmt.Sprintf("late-%d", i)
		s.put(d, level(id, l))
		c = s.consume(d, 1)
		s.next(c, id, "which came late and is of level "+fmt.Sprint(l))
	}
}

func casePriorityPrefetch(s *stage) {
	const prefetch, jobs = 4, 30
	q := queueOf[batch.Prioritizer](s, s.open())
	for n := range jobs {
		enqueue(s, q, n, batch.Priority(q, batch.Low))
	}
	gate := s.gate()
	s.work(s.open(), func(ctx context.Context, _ *batch.Job[task]) error { return gate.wait(ctx) }, concurrency(1, prefetch))
	s.waitCount(1, Started)
	enqueue(s, q, jobs, batch.Priority(q, batch.Critical))
	gate.open()
	s.waitCount(jobs+1, Done)
	before := 0
	for _, e := range s.history.Events() {
		if e.Op != Started {
			continue
		}
		if e.ID == name(jobs) {
			break
		}
		before++
	}
	// The one that ran, those that were held, and one that was asked for when the
	// first of them ended.
	if most := 1 + prefetch + 1; before > most {
		s.failf("a critical job was started after %d others, want at most the %d that the worker had or was receiving", before, most)
	}
}

func casePriorityBatch(s *stage) {
	d := s.declared()
	for i, l := range []driver.Level{driver.Low, driver.Critical, driver.Normal, driver.Trivial, driver.High} {
		m := level(name(i), l)
		m.EnqueuedAt = m.EnqueuedAt.Add(time.Duration(i) * time.Second)
		s.put(d, m)
	}
	c := s.consume(d, 5)
	last := driver.Critical
	for left := 5; left > 0; {
		for _, got := range s.receive(c, left) {
			if got.Level > last {
				s.failf("%s of level %d came after one of level %d", got.ID, got.Level, last)
			}
			last = got.Level
			left--
		}
	}
}

func casePriorityDue(s *stage) {
	const delay = 300 * time.Millisecond
	d := s.declared()
	s.put(d, level("low", driver.Low))
	c := s.consume(d, 1)
	s.settleRetry(c, s.receiveOne(c), delay)
	s.check(c.Close(s.ctx), "close the consumer")
	s.put(d, level("high-0", driver.High), level("normal", driver.Normal), level("high-1", driver.High))
	s.pass(delay + delay/2)
	c = s.consume(d, 1)
	for _, id := range []string{"high-0", "high-1", "normal", "low"} {
		s.next(c, id, "when a retry of a low level has become due")
	}
}

// levelKept puts a job of a high level among lower ones that were enqueued
// before, takes it through something, and wants it next again.
func (s *stage) levelKept(through func(d driver.Driver, c driver.Consumer, got *driver.Delivery) driver.Consumer) {
	d := s.declared()
	s.put(d, level("low", driver.Low), level("normal", driver.Normal), level("high", driver.High))
	c := s.consume(d, 1)
	got := s.receiveOne(c)
	equal(s, got.ID, "high", "the first job")
	c = through(d, c, got)
	got = s.receiveOne(c)
	equal(s, got.ID, "high", "the first job afterwards")
	equal(s, got.Level, driver.High, "its level")
	s.settle(c, got, driver.OutcomeDone)
	s.next(c, "normal", "after the high one")
	s.next(c, "low", "after the normal one")
}

func casePriorityAfterRetry(s *stage) {
	s.levelKept(func(d driver.Driver, c driver.Consumer, got *driver.Delivery) driver.Consumer {
		s.settleRetry(c, got, 100*time.Millisecond)
		s.check(c.Close(s.ctx), "close the consumer")
		s.pass(200*time.Millisecond + s.lateness())
		return s.consume(d, 1)
	})
}

func casePriorityAfterRelease(s *stage) {
	s.levelKept(func(d driver.Driver, c driver.Consumer, got *driver.Delivery) driver.Consumer {
		s.settle(c, got, driver.OutcomeRelease)
		return c
	})
}

func casePriorityAfterRedrive(s *stage) {
	s.levelKept(func(d driver.Driver, c driver.Consumer, got *driver.Delivery) driver.Consumer {
		s.settleDead(c, got)
		s.check(c.Close(s.ctx), "close the consumer")
		dead := s.waitDeadLetters(d, 1)[0]
		equal(s, dead.Level, driver.High, "the level of the dead letter")
		_, err := d.Redrive(s.ctx, s.queue, driver.Selection{All: true})
		s.check(err, "redrive")
		return s.consume(d, 1)
	})
}

func casePriorityAfterLoss(s *stage) {
	s.levelKept(func(d driver.Driver, _ driver.Consumer, _ *driver.Delivery) driver.Consumer {
		s.pass(s.vanish(d) + s.overdue())
		return s.consume(s.open(), 1)
	})
}

func casePriorityAfterDelay(s *stage) {
	d := s.declared()
	held := level("delayed", driver.High)
	held.Delay = 200 * time.Millisecond
	s.put(d, held, level("low", driver.Low))
	s.pass(held.Delay + s.lateness())
	c := s.consume(d, 1)
	s.next(c, "delayed", "whose delay is over and whose level is higher")
	s.next(c, "low", "after the delayed one")
}
