package conformance

import (
	"errors"
	"time"

	"github.com/batch-go/batch/driver"
)

var stopCases = []Case{
	{Name: "stop-receive", Rule: "Stop ends Receive calls under way and later ones with ErrClosed; a second Stop, and one after Close, is a no-op.", run: caseStopReceive},
	{Name: "stop-holds", Rule: "What a consumer received before Stop can still be extended, and settled in every way.", leases: true, run: caseStopHolds},
	{Name: "stop-gives-back", Rule: "After Stop all that the consumer was handed and no Receive returned can be received by another at once, as if it had never been handed out.", run: caseStopGivesBack},
	{Name: "stop-under-load", Rule: "A Stop while jobs arrive loses none, hands none out twice, and counts no lost holder.", run: caseStopUnderLoad},
	{Name: "stop-deleted-queue", Rule: "After Stop a consumer stays stopped when its queue is deleted and declared again.", run: caseStopDeletedQueue},
}

func caseStopReceive(s *stage) {
	d := s.declared()
	s.unblocks(d, "its consumer by Stop", func(c driver.Consumer) error { return c.Stop(s.ctx) })
	c := s.consume(d, 1)
	for range 2 {
		s.check(c.Stop(s.ctx), "stop")
		s.is(s.receiveError(c), driver.ErrClosed, "Receive after Stop")
	}
	s.put(d, message("job"))
	s.is(s.receiveError(c), driver.ErrClosed, "Receive after Stop, with a job in the queue")
	s.check(c.Close(s.ctx), "close after Stop")
	s.check(c.Stop(s.ctx), "stop after Close")
	s.is(s.receiveError(c), driver.ErrClosed, "Receive after Stop and Close")
	other := s.consume(d, 1)
	s.next(other, "job", "which came after another consumer was stopped")
}

func caseStopHolds(s *stage) {
	d := s.declared()
	s.put(d, messages(4)...)
	c := s.consume(d, 4)
	held := s.receive(c, 4)
	s.check(c.Stop(s.ctx), "stop")
	if s.lease() > 0 {
		kept := make(chan error, 1)
		ctx, cancel := s.by(0)
		go func() { kept <- keep(ctx, c, s.lease(), held...) }()
		s.pass(s.threeLeases())
		cancel()
		s.check(<-kept, "extend for three leases after Stop")
	} else {
		s.check(errors.Join(c.Extend(s.ctx, held)...), "extend after Stop")
	}
	s.settle(c, held[0], driver.OutcomeDone)
	s.settleRetry(c, held[1], 0)
	s.settle(c, held[2], driver.OutcomeRelease)
	s.settleDead(c, held[3])
	equal(s, s.waitDeadLetters(d, 1)[0].ID, held[3].ID, "the dead letter by a stopped consumer")
	other := s.consume(s.open(), 2)
	for _, got := range s.receive(other, 2) {
		if got.ID != held[1].ID && got.ID != held[2].ID {
			s.failf("%s was received, want %s, retried, and %s, released by a stopped consumer", got.ID, held[1].ID, held[2].ID)
		}
		equal(s, got.Redeliveries, 0, "Redeliveries of what a stopped consumer settled")
		s.settle(other, got, driver.OutcomeDone)
	}
	s.check(c.Close(s.ctx), "close the stopped consumer")
	s.waitDepth(d, driver.Depth{Dead: 1})
}

func caseStopGivesBack(s *stage) {
	const jobs, hold = 20, 10
	d := s.declared()
	s.put(d, messages(jobs)...)
	c := s.consume(d, hold)
	held := s.receive(c, 2)
	begin := s.history.Now()
	s.check(c.Stop(s.ctx), "stop")
	other := s.consume(s.open(), jobs)
	for _, got := range s.receive(other, jobs-len(held)) {
		equal(s, got.Redeliveries, 0, "Redeliveries of %s, which no Receive of the stopped consumer returned", got.ID)
		equal(s, got.Failures, 0, "Failures of %s", got.ID)
		s.settle(other, got, driver.OutcomeDone)
	}
	if lease := s.lease(); lease > 0 && s.history.Now()-begin > lease {
		s.failf("what was given back came only after a lease of %s", lease)
	}
	s.check(errors.Join(c.Extend(s.ctx, held)...), "extend what was received before Stop")
	s.receiveNone(other, 200*time.Millisecond, "the stopped consumer still holds it")
	for _, got := range held {
		s.settle(c, got, driver.OutcomeDone)
	}
	s.waitDepth(d, driver.Depth{})
	s.check(ExactCover(s.history.Events(), names(jobs)), "judge the history")
}

// received is what the Receive calls of one goroutine returned.
type received struct {
	all []*driver.Delivery
	err error
}

// receiveUntilError receives jobs one at a time by several goroutines. Each sends what
// it has when Receive fails; told is called with each job, and with the error.
func (s *stage) receiveUntilError(c driver.Consumer, receivers int, told func(error)) <-chan received {
	results := make(chan received, receivers)
	for range receivers {
		go func() {
			var r received
			for r.err == nil {
				var got []*driver.Delivery
				got, r.err = c.Receive(s.ctx, 1)
				for _, delivery := range got {
					s.history.Add(Event{Op: Started, ID: delivery.ID})
					told(nil)
				}
				r.all = append(r.all, got...)
			}
			told(r.err)
			results <- r
		}()
	}
	return results
}

func caseStopUnderLoad(s *stage) {
	const jobs, before = 60, 10
	d := s.declared()
	c := s.consume(d, jobs)
	receivers := min(4, s.info.Limits.Receivers)
	begun := s.gate()
	results := s.receiveUntilError(c, receivers, func(err error) {
		if err != nil || s.history.Count(Started) >= before { // an error is judged below
			begun.open()
		}
	})
	produced := make(chan error, 1)
	producer := s.open()
	go func() {
		var failed error
		for n := range jobs {
			failed = errors.Join(failed, stores(s, producer, message(name(n))))
		}
		produced <- failed
	}()
	s.check(begun.wait(s.ctx), "receive %d jobs", before)
	s.check(c.Stop(s.ctx), "stop")
	left := jobs
	for range receivers {
		var r received
		select {
		case r = <-results:
		case <-time.After(s.patience()):
			s.failf("Receive goes on although its consumer was stopped")
		}
		s.is(r.err, driver.ErrClosed, "Receive of a stopped consumer")
		for _, got := range r.all {
			left--
			equal(s, got.Redeliveries, 0, "Redeliveries of %s", got.ID)
			s.settle(c, got, driver.OutcomeDone)
		}
	}
	s.check(<-produced, "enqueue")
	if left > 0 {
		other := s.consume(s.open(), jobs)
		for _, got := range s.receive(other, left) {
			if s.harness.StopCounts == "" || got.Redeliveries != 1 {
				equal(s, got.Redeliveries, 0, "Redeliveries of %s, which no Receive of the stopped consumer returned", got.ID)
			}
			s.settle(other, got, driver.OutcomeDone)
		}
	}
	if s.harness.StopCounts != "" {
		s.untested("whether one lost holder is counted of what no Receive returned: %s", s.harness.StopCounts)
	}
	s.check(ExactCover(s.history.Events(), names(jobs)), "judge the history")
	s.waitDepth(d, driver.Depth{})
}

func caseStopDeletedQueue(s *stage) {
	d := s.declared()
	c := s.consume(d, 1)
	s.check(c.Stop(s.ctx), "stop")
	s.check(s.open().DeleteQueue(s.ctx, s.queue), "delete the queue")
	s.is(s.receiveError(c), driver.ErrClosed, "Receive after Stop, of a queue that was deleted")
	s.check(d.Declare(s.ctx, s.queue), "declare again")
	s.put(d, message("job"))
	s.is(s.receiveError(c), driver.ErrClosed, "Receive after Stop, of a queue that was declared again")
	other := s.consume(d, 1)
	s.next(other, "job", "on a queue that was declared again")
}
