package conformance

import (
	"context"
	"errors"

	"github.com/batch-go/batch/driver"
)

var missingCases = []Case{
	{Name: "missing-queue", Rule: "A call on a queue that was never declared is ErrNotFound with FateNotStored, and makes nothing.", run: caseMissingQueue},
	{Name: "deleted-queue", Rule: "A queue that was deleted behind an open handle is missing too, until it is declared again.", run: caseDeletedQueue},
}

// queueCalls are the calls about one queue that its capabilities add to a driver.
func queueCalls(ctx context.Context, d driver.Driver, queue string) map[string]func() error {
	calls := make(map[string]func() error)
	if a, ok := bare(d).(driver.AtomicEnqueuer); ok {
		calls["EnqueueAtomic"] = func() error { return a.EnqueueAtomic(ctx, queue, messages(1)) }
	}
	if i, ok := bare(d).(driver.Inspector); ok {
		for _, state := range []driver.State{driver.StateWaiting, driver.StateScheduled, driver.StateDead} {
			calls["List of "+state.String()] = func() error { _, _, err := i.List(ctx, queue, state, "", 1); return err }
		}
		calls["Find"] = func() error { _, err := i.Find(ctx, queue, "job"); return err }
		calls["Delete"] = func() error { return i.Delete(ctx, queue, "job") }
	}
	if p, ok := bare(d).(driver.Pauser); ok {
		calls["Pause"] = func() error { return p.Pause(ctx, queue) }
		calls["Resume"] = func() error { return p.Resume(ctx, queue) }
		calls["Paused"] = func() error { _, err := p.Paused(ctx, queue); return err }
	}
	if i, ok := bare(d).(driver.Importer); ok {
		calls["Import"] = func() error {
			for _, r := range i.Import(ctx, queue, []*driver.Entry{entry("job", driver.StateWaiting)}) {
				return r.Err
			}
			return nil
		}
	}
	if p, ok := bare(d).(driver.Purger); ok {
		calls["Purge"] = func() error { _, err := p.Purge(ctx, queue); return err }
	}
	return calls
}

// readingCalls are those of queueCalls and of every driver that need the queue.
func readingCalls(ctx context.Context, d driver.Driver, queue string) map[string]func() error {
	calls := queueCalls(ctx, d, queue)
	for what, which := range map[string]driver.Selection{"all": {All: true}, "one": {IDs: []string{"job"}}} {
		calls["Redrive of "+what] = func() error { _, err := d.Redrive(ctx, queue, which); return err }
		calls["Discard of "+what] = func() error { _, err := d.Discard(ctx, queue, which); return err }
	}
	calls["Depth"] = func() error { _, err := d.Depth(ctx, queue); return err }
	calls["DeadLetters"] = func() error { _, _, err := d.DeadLetters(ctx, queue, "", 10); return err }
	calls["Enqueue"] = func() error {
		for _, r := range d.Enqueue(ctx, queue, messages(1)) {
			return r.Err
		}
		return nil
	}
	return calls
}

// missing ends the case unless each call on the queue, which does not exist, says so,
// and it still does not exist afterwards, as another handle sees it.
func (s *stage) missing(d driver.Driver, why string) {
	other := s.open()
	gone := func(what string) {
		_, err := other.Depth(s.ctx, s.queue)
		s.is(err, driver.ErrNotFound, "Depth of a queue that %s, after %s", why, what)
	}
	gone("nothing")
	for what, call := range readingCalls(s.ctx, d, s.queue) {
		for _, time := range []string{"first", "second"} {
			err := call()
			s.is(err, driver.ErrNotFound, "the %s %s on a queue that %s", time, what, why)
			equal(s, driver.FateOf(err), driver.FateNotStored, "the fate of %s on a queue that %s", what, why)
		}
		gone(what)
	}
	c, err := d.Consume(s.ctx, s.queue, driver.ConsumeOptions{Lease: s.lease(), Prefetch: 1})
	if err == nil {
		err = s.receiveError(c)
		s.check(c.Close(s.ctx), "close a consumer of a queue that %s", why)
	}
	s.is(err, driver.ErrNotFound, "Consume and Receive on a queue that %s", why)
	gone("Consume")
	for range 2 {
		s.check(d.DeleteQueue(s.ctx, s.queue), "delete a queue that %s", why)
	}
	gone("DeleteQueue")
}

// receiveError is the error of a Receive that should not wait.
func (s *stage) receiveError(c driver.Consumer) error {
	ctx, cancel := s.soon()
	defer cancel()
	got, err := c.Receive(ctx, 1)
	if len(got) > 0 {
		s.failf("Receive returned %s", got[0].ID)
	}
	return err
}

func caseMissingQueue(s *stage) {
	s.missing(s.open(), "was never declared")
	d := s.declared()
	s.waitDepth(d, driver.Depth{})
	equal(s, len(s.deadLetters(d, 10)), 0, "dead letters of a new queue")
	s.put(d, message("job"))
	c := s.consume(d, 1)
	s.next(c, "job", "on a queue that was declared after it was missed")
}

func caseDeletedQueue(s *stage) {
	d := s.declared()
	c, _ := s.fill(d)
	for what, call := range readingCalls(s.ctx, d, s.queue) {
		// So that the handle has used, and may remember, everything of the queue.
		if err := call(); err != nil && !errors.Is(err, driver.ErrNotFound) { // of a job
			s.check(err, "%s", what)
		}
	}
	s.check(s.open().DeleteQueue(s.ctx, s.queue), "delete the queue")
	s.is(s.receiveError(c), driver.ErrNotFound, "Receive of a consumer whose queue was deleted")
	s.missing(d, "was deleted")
	s.is(s.receiveError(c), driver.ErrNotFound, "a later Receive of a consumer whose queue was deleted")
	s.check(d.Declare(s.ctx, s.queue), "declare again")
	s.put(d, message("new"))
	s.eventually("receiving on a queue that was declared again", func() error {
		ctx, cancel := s.soon()
		defer cancel()
		got, err := c.Receive(ctx, 1)
		if err != nil {
			return err
		}
		equal(s, got[0].ID, "new", "the job on a queue that was declared again")
		s.settle(c, got[0], driver.OutcomeDone)
		return nil
	})
}
