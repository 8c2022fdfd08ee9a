package conformance

import (
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
)

// The cases in this file have producers whose clocks are an hour off. EnqueuedAt is
// theirs, and is carried; nothing else may depend on it.

var clockCases = []Case{
	{Name: "clock-delay", Rule: "A delay counts from when the broker stored the job, whatever the producer's clock says.", Needs: delayer, timed: true, run: caseClockDelay},
	{Name: "clock-retry", Rule: "Retries and dead letters of a job go by the broker's or the worker's clock, whatever that of its producer said.", timed: true, run: caseClockRetry},
	{Name: "clock-age", Rule: "The age of what waits does not depend on the producers' clocks.", timed: true, run: caseClockAge},
	{Name: "clock-group", Rule: "The order of a group is that of its enqueues, whatever the producers' clocks say.", Needs: grouper, run: caseClockGroup},
	{Name: "clock-key", Rule: "The window of a key counts from when the broker stored the job, whatever the producer's clock says.", Needs: deduplicator, timed: true, run: caseClockKey},
	{Name: "clock-dead", Rule: "Dead letters are listed by when they died, whatever their producers' clocks said.", run: caseClockDead},
}

// offClocks are by how much the clocks of producers are off.
var offClocks = []time.Duration{time.Hour, -time.Hour, 24 * 365 * time.Hour, -20 * 365 * 24 * time.Hour}

// off makes a job of a producer whose clock is off.
func off(id string, by time.Duration) *driver.Message {
	m := message(id)
	m.EnqueuedAt = m.EnqueuedAt.Add(by)
	return m
}

func caseClockDelay(s *stage) {
	const delay = 400 * time.Millisecond
	d := s.declared()
	sent := make(map[string]*driver.Message)
	for i, by := range offClocks {
		m := off(name(i), by)
		m.Delay = delay
		sent[m.ID] = m
		s.put(d, m)
	}
	c := s.consume(d, len(offClocks))
	for range offClocks {
		got := s.receiveBy(delay, c, 1)[0]
		s.punctual(s.history.Events(), got.ID, delay)
		want := *sent[got.ID]
		want.Delay = 0
		s.check(sameMessage(&got.Message, &want), "received")
		s.settle(c, got, driver.OutcomeDone)
	}
	s.waitDepth(d, driver.Depth{})
}

func caseClockRetry(s *stage) {
	const delay = 300 * time.Millisecond
	d := s.declared()
	c := s.consume(d, 1)
	for i, by := range offClocks {
		s.put(d, off(name(i), by))
		got := s.receiveOne(c)
		begin, end := s.settleRetry(c, got, delay)
		got = s.receiveBy(delay, c, 1)[0]
		now := s.history.Now()
		s.check(Within("the retry of a job whose producer's clock was off", begin, now, delay, now), "measure")
		s.check(Within("the retry of a job whose producer's clock was off", end, now, 0, delay+s.lateness()), "measure")
		died := time.Now()
		s.settleDead(c, got)
		for _, dead := range s.waitDeadLetters(d, 1) {
			if off := dead.DeadAt.Sub(died); off < -time.Minute || off > time.Minute {
				s.failf("DeadAt is %s, %s from when it died", dead.DeadAt, off)
			}
		}
		_, err := d.Discard(s.ctx, s.queue, driver.Selection{All: true})
		s.check(err, "discard")
	}
}

func caseClockAge(s *stage) {
	d := s.declared()
	for i, by := range offClocks {
		begin := s.history.Now()
		s.put(d, off(name(i), by))
		s.wantAge(d, begin, s.history.Now(), fmt.Sprintf("of a job whose producer's clock is off by %s", by))
		c := s.consume(d, 1)
		s.settle(c, s.receiveOne(c), driver.OutcomeDone)
		s.check(c.Close(s.ctx), "close the consumer")
	}
}

func caseClockGroup(s *stage) {
	d := s.declared()
	for i := range 6 {
		m := off(name(i), offClocks[i%len(offClocks)])
		m.Group = "group"
		s.put(d, m)
	}
	c := s.consume(d, 3)
	for i := range 6 {
		got := s.receiveOne(c)
		equal(s, got.ID, name(i), "the group's next job")
		if i == 2 {
			s.settleRetry(c, got, 30*time.Millisecond)
			got = s.receiveOne(c)
			equal(s, got.ID, name(i), "the group's next job after a retry of its head")
		}
		s.settle(c, got, driver.OutcomeDone)
	}
}

func caseClockKey(s *stage) {
	d := s.declared()
	for i, by := range offClocks {
		key := fmt.Sprintf("key-%d", i)
		first := off(name(i), by)
		first.DedupKey, first.DedupWithin = key, shortestWindow
		begin := s.history.Now()
		s.put(d, first)
		stored := s.history.Now()
		err := stores(s, d, unique("refused", key))
		if now := s.history.Now(); err == nil && now-begin < shortestWindow {
			s.failf("a key of a producer whose clock is off by %s was free after %s, before its window of %s was over", by, now-begin, shortestWindow)
		}
		if err != nil {
			s.pass(shortestWindow)
			s.eventually("taking a key whose window is over", func() error { return stores(s, d, unique("next", key)) })
			s.check(Within("the end of the window of a key of a producer whose clock is off", stored, s.history.Now(), 0, shortestWindow+s.lateness()), "measure")
		}
	}
}

func caseClockDead(s *stage) {
	d := s.declared()
	c := s.consume(d, 1)
	var want []int
	for i, by := range offClocks {
		s.put(d, off(name(i), by))
		s.settleDead(c, s.receiveOne(c))
		want = append(want, i)
	}
	s.waitDeadLetters(d, len(want))
	s.check(deadLettersAre(s.deadLetters(d, 2), want...), "list dead letters")
	if _, ok := bare(d).(driver.Inspector); ok {
		for i, e := range s.waitList(d, driver.StateDead, names(len(want))...) {
			equal(s, e.ID, name(i), "place %d of the dead jobs in the list", i)
		}
	}
}
