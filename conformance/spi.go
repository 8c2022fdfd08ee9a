package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
)

// The helpers in this file are for cases that talk to the driver itself.

// put enqueues messages, within the driver's limits, and ends the case if one of
// them is not stored.
func (s *stage) put(d driver.Driver, all ...*driver.Message) {
	s.putOn(d, s.queue, all...)
}

// putOn is put for another queue.
func (s *stage) putOn(d driver.Driver, queue string, all ...*driver.Message) {
	for _, m := range all {
		s.history.Add(Event{Op: Enqueueing, ID: m.ID, Level: m.Level, Group: m.Group})
	}
	for len(all) > 0 {
		n, size := 0, 0
		for n < len(all) && n < s.info.Limits.EnqueueBatch && (n == 0 || size+all[n].Size() <= s.info.Limits.EnqueueBytes) {
			size += all[n].Size()
			n++
		}
		results := d.Enqueue(s.ctx, queue, all[:n])
		if results != nil && len(results) != n {
			s.failf("Enqueue of %d messages returned %d results", n, len(results))
		}
		for i, m := range all[:n] {
			if results != nil {
				s.check(results[i].Err, "enqueue %s", m.ID)
				if results[i].Duplicate {
					s.failf("enqueue %s: reported as a duplicate of %q", m.ID, results[i].DuplicateOf)
				}
			}
			s.history.Add(Event{Op: Enqueued, ID: m.ID, Level: m.Level, Group: m.Group})
		}
		all = all[n:]
	}
}

// resultsOf enqueues messages in one call, and returns a result for each.
func (s *stage) resultsOf(d driver.Driver, all ...*driver.Message) []driver.Result {
	results := d.Enqueue(s.ctx, s.queue, all)
	if results == nil {
		results = make([]driver.Result, len(all))
	}
	equal(s, len(results), len(all), "results")
	return results
}

// consume opens a consumer on the case's queue.
func (s *stage) consume(d driver.Driver, prefetch int) driver.Consumer {
	return s.consumeFrom(d, s.queue, prefetch)
}

// consumeFrom is consume for another queue.
func (s *stage) consumeFrom(d driver.Driver, queue string, prefetch int) driver.Consumer {
	c, err := d.Consume(s.ctx, queue, driver.ConsumeOptions{Lease: s.lease(), Prefetch: prefetch})
	s.check(err, "open a consumer")
	return c
}

// receive waits for n jobs.
func (s *stage) receive(c driver.Consumer, n int) []*driver.Delivery { return s.receiveBy(0, c, n) }

// receiveBy waits for n jobs that should come after d.
func (s *stage) receiveBy(d time.Duration, c driver.Consumer, n int) []*driver.Delivery {
	ctx, cancel := s.by(d)
	defer cancel()
	var all []*driver.Delivery
	for len(all) < n {
		most := min(n-len(all), s.info.Limits.ReceiveBatch)
		got, err := c.Receive(ctx, most)
		if err != nil && ctx.Err() != nil && s.ctx.Err() == nil {
			s.failf("%d of %d jobs did not come: %v; Receive returned %v", n-len(all), n, context.Cause(ctx), err)
		}
		s.check(err, "receive job %d of %d", len(all)+1, n)
		if len(got) == 0 || len(got) > most {
			s.failf("Receive of at most %d jobs returned %d and no error", most, len(got))
		}
		for _, delivery := range got {
			s.history.Add(Event{
				Op: Started, ID: delivery.ID, Level: delivery.Level, Group: delivery.Group,
				Attempt: delivery.Failures + 1, Deliveries: delivery.Deliveries, Worker: fmt.Sprintf("%p", c),
			})
		}
		all = append(all, got...)
	}
	return all
}

// receiveOne waits for one job.
func (s *stage) receiveOne(c driver.Consumer) *driver.Delivery { return s.receive(c, 1)[0] }

// receiveNone ends the case if a job comes within d.
func (s *stage) receiveNone(c driver.Consumer, d time.Duration, why string) {
	ctx, cancel := context.WithTimeout(s.ctx, d)
	defer cancel()
	got, err := c.Receive(ctx, 1)
	if len(got) > 0 {
		s.failf("job %s was handed out (delivery %d) although %s", got[0].ID, got[0].Deliveries, why)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		s.failf("Receive whose context ended: the error is %s, want one that wraps %q", quoteErr(err), context.DeadlineExceeded)
	}
}

// settle ends a delivery, and ends the case if that fails.
func (s *stage) settle(c driver.Consumer, d *driver.Delivery, outcome driver.Outcome) {
	s.settleAs(c, driver.Settlement{Delivery: d, Outcome: outcome})
}

// settleAs is settle with all that a settlement may say.
func (s *stage) settleAs(c driver.Consumer, settlement driver.Settlement) {
	d := settlement.Delivery
	op := map[driver.Outcome]Op{driver.OutcomeDone: Done, driver.OutcomeRetry: Failed, driver.OutcomeRelease: Returned, driver.OutcomeDead: Died}[settlement.Outcome]
	s.history.Add(Event{Op: op, ID: d.ID, Level: d.Level, Group: d.Group, Worker: fmt.Sprintf("%p", c), Note: settlement.Error})
	s.check(only(c.Settle(s.ctx, []driver.Settlement{settlement})), "settle %s as %s", d.ID, settlement.Outcome)
}

// settleRetry settles a delivery as a retry, and returns when it began to and when
// it had.
func (s *stage) settleRetry(c driver.Consumer, d *driver.Delivery, delay time.Duration) (begin, end time.Duration) {
	begin = s.history.Now()
	s.settleAs(c, driver.Settlement{Delivery: d, Outcome: driver.OutcomeRetry, Delay: delay, Failures: d.Failures + 1, Error: "failed"})
	return begin, s.history.Now()
}

// settleDead makes the job a dead letter.
func (s *stage) settleDead(c driver.Consumer, d *driver.Delivery) {
	s.settleAs(c, driver.Settlement{
		Delivery: d, Outcome: driver.OutcomeDead, Failures: d.Failures + 1, Reason: driver.ReasonAttempts, Error: "failed for good",
	})
}

// next ends the case if the next job is not the one wanted, and settles it as
// done.
func (s *stage) next(c driver.Consumer, want, why string) {
	got := s.receiveOne(c)
	equal(s, got.ID, want, "the next job, %s", why)
	s.settle(c, got, driver.OutcomeDone)
}

// only is the error of a call for one, whose list may be nil.
func only(errs []error) error {
	switch len(errs) {
	case 0:
		return nil
	case 1:
		return errs[0]
	}
	return fmt.Errorf("%d errors for one", len(errs))
}

// deadLetters reads all dead letters of the case's queue, in pages of the given size.
func (s *stage) deadLetters(d driver.Driver, size int) []driver.DeadLetter {
	var all []driver.DeadLetter
	cursor := ""
	for {
		page, next, err := d.DeadLetters(s.ctx, s.queue, cursor, size)
		s.check(err, "list dead letters")
		if len(page) > size {
			s.failf("a page of at most %d dead letters has %d", size, len(page))
		}
		all = append(all, page...)
		if next == "" {
			return all
		}
		if next == cursor {
			s.failf("the cursor %q of dead letters leads to itself", next)
		}
		cursor = next
	}
}

// waitDeadLetters waits until the queue has n dead letters.
func (s *stage) waitDeadLetters(d driver.Driver, n int) []driver.DeadLetter {
	var all []driver.DeadLetter
	s.eventually(fmt.Sprintf("waiting for %d dead letters", n), func() error {
		if all = s.deadLetters(d, 100); len(all) != n {
			return fmt.Errorf("there are %d", len(all))
		}
		return nil
	})
	return all
}

// deadLetter waits for the one dead letter of a queue.
func (s *stage) deadLetter(q *portable) driver.DeadLetter { return s.waitDeadLetters(q.Driver(), 1)[0] }

// vanish gives up a handle as a process that vanishes does, its deliveries
// unsettled: where the lease is the connection, that breaks. It returns after
// how long the deliveries become available.
func (s *stage) vanish(d driver.Driver) time.Duration {
	if s.lease() > 0 {
		return s.lease()
	}
	s.check(d.Close(s.ctx), "close the handle")
	return 0
}

// finish receives n jobs and settles them as done, many at a time.
func (s *stage) finish(d driver.Driver, n int) {
	hold := min(s.info.Limits.ReceiveBatch, s.info.Limits.SettleBatch, 200)
	c := s.consume(d, hold)
	for n > 0 {
		var settlements []driver.Settlement
		for _, delivery := range s.receive(c, min(n, hold)) {
			settlements = append(settlements, driver.Settlement{Delivery: delivery, Outcome: driver.OutcomeDone})
			s.history.Add(Event{Op: Done, ID: delivery.ID, Worker: fmt.Sprintf("%p", c)})
		}
		for _, err := range c.Settle(s.ctx, settlements) {
			s.check(err, "settle one of %d", len(settlements))
		}
		n -= len(settlements)
	}
	// What comes later is not for this consumer, which may have room for it.
	s.check(c.Close(s.ctx), "close the consumer")
}

// fill puts the queue's jobs into all states: 2 waiting, 1 scheduled, 1 running
// and 1 dead. It returns the consumer of the running one.
func (s *stage) fill(d driver.Driver) (driver.Consumer, *driver.Delivery) {
	s.put(d, messages(3)...)
	c := s.consume(d, 1)
	s.settleDead(c, s.receiveOne(c))
	s.settleAs(c, driver.Settlement{Delivery: s.receiveOne(c), Outcome: driver.OutcomeRetry, Delay: time.Hour, Failures: 1, Error: "failed"})
	running := s.receiveOne(c)
	s.put(d, message(name(3)), message(name(4)))
	return c, running
}

// waitDepth waits until the counts are as wanted, where they are known.
func (s *stage) waitDepth(d driver.Driver, want driver.Depth) { s.waitDepthBy(0, d, want) }

// waitDepthBy is waitDepth for what should become true after a time.
func (s *stage) waitDepthBy(after time.Duration, d driver.Driver, want driver.Depth) {
	s.eventuallyBy(after, fmt.Sprintf("counting jobs, want %+v", want), func() error {
		got, err := d.Depth(s.ctx, s.queue)
		if err != nil {
			return err
		}
		for _, n := range [][2]int64{
			{got.Waiting, want.Waiting}, {got.Scheduled, want.Scheduled}, {got.Running, want.Running}, {got.Dead, want.Dead},
		} {
			if n[0] != driver.UnknownCount && n[0] != n[1] {
				return fmt.Errorf("got %+v", got)
			}
		}
		return nil
	})
}
