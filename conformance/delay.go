package conformance

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var delayer = []string{"Delayer"}

var delayCases = []Case{
	{Name: "delay", Rule: "A delayed job is not handed out before its time and no more than a second after it.", Needs: delayer, timed: true, run: caseDelay},
	{Name: "delay-at", Rule: "A job that is held back until a time is not handed out before it; a time that has passed is no delay.", Needs: delayer, timed: true, run: caseDelayAt},
	{Name: "delay-mixed", Rule: "Jobs with different delays, and without, do not hold each other up.", Needs: delayer, timed: true, run: caseDelayMixed},
	{Name: "delay-longest", Rule: "A delay of MaxDelay is taken; a longer or negative one is refused and nothing is sent.", Needs: delayer, run: caseDelayLongest},
	{Name: "delay-bounds", Rule: "A message whose Delay is negative or longer than MaxDelay is refused with ErrConfig, and nothing is sent of it.", Needs: delayer, run: caseDelayBounds},
	{Name: "delay-unattended", Rule: "A delayed job becomes available although no handle was open when it fell due.", Needs: delayer, timed: true, run: caseDelayUnattended},
	{Name: "delay-many", Rule: "Hundreds of jobs with random delays each come in time, once.", Needs: delayer, timed: true, run: caseDelayMany},
	{Name: "delay-once", Rule: "The delay is over with the first delivery: a release or retry is not held back again.", Needs: delayer, timed: true, run: caseDelayOnce},
}

// punctual ends the case if a job did not start within the bounds of its delay:
// not early from before it was enqueued, not late from when that was confirmed.
func (s *stage) punctual(events []Event, id string, delay time.Duration) {
	s.punctualWithin(events, id, delay, s.lateness())
}

// punctualWithin is punctual for a job that may be so late.
func (s *stage) punctualWithin(events []Event, id string, delay, lateness time.Duration) {
	var begin, end, started time.Duration
	for _, e := range events {
		if e.ID != id {
			continue
		}
		switch e.Op {
		case Enqueueing:
			begin = e.At
		case Enqueued:
			end = e.At
		case Started:
			if started == 0 {
				started = e.At
			}
		}
	}
	what := fmt.Sprintf("%s with a delay of %s", id, delay)
	s.check(Within(what, begin, started, delay, started), "measure")
	s.check(Within(what, end, started, min(0, started-end), delay+lateness), "measure")
}

func caseDelay(s *stage) {
	q := queueOf[batch.Delayer](s, s.open())
	s.work(s.open(), nothing)
	for n, delay := range []time.Duration{time.Millisecond, 250 * time.Millisecond, 1300 * time.Millisecond} {
		enqueue(s, q, n, batch.Delay(q, delay))
		s.waitBy(delay, "the delayed job", func() bool { return s.history.Count(Done) > n })
		s.punctual(s.history.Events(), name(n), delay)
	}
}

func caseDelayAt(s *stage) {
	q := queueOf[batch.Delayer](s, s.open())
	s.work(s.open(), nothing)
	// At is turned into a delay when the job is enqueued.
	const ahead = 500 * time.Millisecond
	begin := s.history.Now()
	at := time.Now().Add(ahead)
	enqueue(s, q, 0, batch.At(q, at))
	s.waitBy(ahead, "the job with a time", func() bool { return s.history.Count(Done) > 0 })
	var started time.Duration
	for _, e := range s.history.Events() {
		if e.Op == Started {
			started = e.At
		}
	}
	s.check(Within("the job with a time", begin, started, ahead, ahead+s.lateness()), "measure")
	enqueue(s, q, 1, batch.At(q, time.Now().Add(-time.Hour)))
	s.waitCount(2, Done)
	s.punctual(s.history.Events(), name(1), 0)
}

func caseDelayMixed(s *stage) {
	d := s.declared()
	delays := make(map[string]time.Duration)
	var all []*driver.Message
	for i, delay := range append([]time.Duration{0}, mixedDelays...) {
		delays[name(i)] = delay
		all = append(all, delayed(name(i), delay))
	}
	s.put(d, all...)
	s.put(d, message("plain"))
	delays["plain"] = 0
	c := s.consume(d, 1)
	for range len(delays) - 1 { // the hour does not pass
		got := s.receiveBy(2*time.Second, c, 1)[0]
		delay := delays[got.ID]
		s.punctual(s.history.Events(), got.ID, delay)
		equal(s, got.Deliveries, 1, "Deliveries of a job that was delayed")
		equal(s, got.Failures, 0, "Failures of a job that was delayed")
		s.settle(c, got, driver.OutcomeDone)
	}
	s.waitDepth(d, driver.Depth{Scheduled: 1})
}

func caseDelayLongest(s *stage) {
	q := queueOf[batch.Delayer](s, s.open())
	d := q.Driver()
	longest := d.MaxDelay()
	enqueue(s, q, 0, batch.Delay(q, longest))
	for _, bad := range []time.Duration{longest + 1, -1} {
		_, err := q.Enqueue(s.ctx, task{}, batch.Delay(q, bad))
		s.is(err, batch.ErrInvalid, "a delay of %s", bad)
	}
	s.waitDepth(d, driver.Depth{Scheduled: 1})
	s.receiveNone(s.consume(d, 1), 300*time.Millisecond, "its delay is "+longest.String())
}

func caseDelayBounds(s *stage) {
	d := s.declared()
	longest := bare(d).(driver.Delayer).MaxDelay()
	for _, bad := range []time.Duration{-1, math.MinInt64, longest + 1, math.MaxInt64} {
		stored := 0
		// What is beside it in the call may be refused too, but not silently.
		for i, r := range s.resultsOf(d, message("before"), delayed("bad", bad), message("behind")) {
			if what := fmt.Sprintf("message %d of a call whose message 1 has a delay of %s", i, bad); i == 1 || r.Err != nil {
				s.is(r.Err, driver.ErrConfig, "%s", what)
				s.notStored(r.Err, "%s", what)
			} else {
				stored++
			}
		}
		if a, ok := bare(d).(driver.AtomicEnqueuer); ok {
			err := a.EnqueueAtomic(s.ctx, s.queue, []*driver.Message{message("beside"), delayed("bad", bad)})
			s.is(err, driver.ErrConfig, "an atomic enqueue with a delay of %s", bad)
			s.notStored(err, "an atomic enqueue with a delay of %s", bad)
		}
		s.finish(d, stored)
	}
	s.waitDepth(d, driver.Depth{})
}

func caseDelayUnattended(s *stage) {
	const delay = 300 * time.Millisecond
	d := s.declared()
	s.put(d, delayed("job", delay))
	s.check(d.Close(s.ctx), "close the handle")
	s.pass(2 * delay)
	c := s.consume(s.open(), 1)
	opened := s.history.Now()
	got := s.receiveOne(c)
	s.check(Within("the overdue job", opened, s.history.Now(), 0, s.lateness()), "measure")
	s.settle(c, got, driver.OutcomeDone)
}

func caseDelayMany(s *stage) {
	const jobs = 300
	q := queueOf[batch.Delayer](s, s.open())
	delays := make([]time.Duration, jobs)
	for n := range delays {
		delays[n] = time.Duration(s.random.Int64N(int64(1500 * time.Millisecond)))
	}
	for range 2 {
		s.work(s.open(), nothing, concurrency(4, 4), defaultLease)
	}
	failed := make(chan error, jobs)
	var all sync.WaitGroup
	for n, delay := range delays {
		all.Go(func() {
			if err := tryEnqueue(s, q, n, batch.Delay(q, delay)); err != nil {
				failed <- err
			}
		})
	}
	all.Wait()
	close(failed)
	for err := range failed {
		s.failf("enqueue: %v", err)
	}
	s.waitBy(2*time.Second, "all jobs", func() bool { return s.history.Count(Done) >= jobs })
	events := s.history.Events()
	s.check(ExactCover(events, names(jobs)), "judge the history")
	for n, delay := range delays {
		// Before it come others that are due as well.
		s.punctualWithin(events, name(n), delay, s.lateness()+manySteps*s.machine.worst())
	}
}

func caseDelayOnce(s *stage) {
	d := s.declared()
	// Longer than what may be late, so that a second one is seen.
	m := delayed("job", s.lateness()+500*time.Millisecond)
	s.put(d, m)
	c := s.consume(d, 1)
	got := s.receiveBy(m.Delay, c, 1)[0]
	equal(s, got.Delay, time.Duration(0), "Delay of the delivery")
	for _, outcome := range []driver.Outcome{driver.OutcomeRelease, driver.OutcomeRetry} {
		begin := s.history.Now()
		s.settle(c, got, outcome)
		got = s.receiveOne(c)
		s.check(Within("the job after a "+outcome.String(), begin, s.history.Now(), 0, s.lateness()), "measure")
	}
	s.settle(c, got, driver.OutcomeDone)
}
