package conformance

import (
	"context"
	"errors"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var contextCases = []Case{
	{Name: "context-ended", Rule: "A call whose context has ended returns its error, and nothing was sent.", leases: true, run: caseContextEnded},
	{Name: "context-receive", Rule: "A Receive that waits returns promptly with its context's error when that ends.", leases: true, run: caseContextReceive},
	{Name: "context-enqueue", Rule: "An enqueue whose context ends returns promptly and tells the job's fate truthfully.", run: caseContextEnqueue},
	{Name: "context-worker", Rule: "Run returns when its context ends, and what it left runs elsewhere.", run: caseContextWorker},
}

func caseContextEnded(s *stage) {
	d := s.declared()
	c := s.consume(d, 2)
	s.put(d, messages(3)...)

	s.settleDead(c, s.receiveOne(c))
	held := s.receiveOne(c) // and one waits
	ended, cancel := context.WithCancel(s.ctx)
	cancel()
	all := driver.Selection{All: true}
	for what, call := range map[string]func() error{
		"Declare":     func() error { return d.Declare(ended, s.queue) },
		"DeleteQueue": func() error { return d.DeleteQueue(ended, s.queue) },
		"Enqueue": func() error {
			results := d.Enqueue(ended, s.queue, []*driver.Message{message("sent")})
			if len(results) == 0 {
				return nil
			}
			if fate := driver.FateOf(results[0].Err); fate != driver.FateNotStored {
				s.problem("the fate of an enqueue whose context had ended is %q, but nothing was sent", fate)
			}
			return results[0].Err
		},
		"Consume": func() error {
			_, err := d.Consume(ended, s.queue, driver.ConsumeOptions{Lease: s.lease(), Prefetch: 1})
			return err
		},
		"Depth":       func() error { _, err := d.Depth(ended, s.queue); return err },
		"DeadLetters": func() error { _, _, err := d.DeadLetters(ended, s.queue, "", 1); return err },
		"Redrive":     func() error { _, err := d.Redrive(ended, s.queue, all); return err },
		"Discard":     func() error { _, err := d.Discard(ended, s.queue, all); return err },
		"Receive":     func() error { _, err := c.Receive(ended, 1); return err },
		"Settle": func() error {
			return only(c.Settle(ended, []driver.Settlement{{Delivery: held, Outcome: driver.OutcomeDone}}))
		},
		"Extend": func() error { return only(c.Extend(ended, []*driver.Delivery{held})) },
	} {
		s.is(call(), context.Canceled, "%s with a context that has ended", what)
	}
	for what, call := range queueCalls(ended, d, s.queue) {
		s.is(call(), context.Canceled, "%s with a context that has ended", what)
	}
	// Nothing of that was done: the job is still held, the dead letter still there.
	s.check(only(c.Extend(s.ctx, []*driver.Delivery{held})), "extend after calls that were not to be sent")
	s.settle(c, held, driver.OutcomeRelease)
	came := make(map[string]bool)
	for _, again := range s.receive(c, 2) {
		came[again.ID] = true
		s.settle(c, again, driver.OutcomeDone)
	}
	equal(s, came[held.ID] && len(came) == 2, true, "whether the job that was held came again, beside the one that waited")
	s.receiveNone(c, 100*time.Millisecond, "its enqueue was not to be sent")
	equal(s, len(s.deadLetters(d, 10)), 1, "dead letters")
}

func caseContextReceive(s *stage) {
	d := s.declared()
	c := s.consume(d, 1)
	for _, after := range []time.Duration{0, 30 * time.Millisecond, 300 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(s.ctx, after)
		begin := s.history.Now()
		got, err := c.Receive(ctx, 1)
		cancel()
		if len(got) > 0 {
			s.failf("Receive on an empty queue returned %s", got[0].ID)
		}
		s.is(err, context.DeadlineExceeded, "Receive whose context ended after %s", after)
		s.check(Within("its return", begin, s.history.Now(), 0, after+s.promptness()), "measure")
	}
	s.put(d, message("job"))
	got := s.receiveBy(s.lease()+s.overdue(), c, 1)[0]
	s.settle(c, got, driver.OutcomeDone)
}

func caseContextEnqueue(s *stage) {
	q := s.portable()
	s.check(q.Declare(s.ctx), "declare")
	stored := make(map[string]bool) // must have been: true; may have been: false
	for n := range 100 {
		ctx, cancel := context.WithCancel(s.ctx)
		go cancel()
		_, err := q.Enqueue(ctx, task{N: n}, batch.ID(q, name(n)))
		switch {
		case err == nil:
			stored[name(n)] = true
		case !errors.Is(err, context.Canceled):
			s.failf("an enqueue whose context was cancelled: %v", err)
		default:
			var e *batch.EnqueueError
			if !errors.As(err, &e) {
				s.failf("an enqueue whose context was cancelled: the error is no *EnqueueError: %v", err)
			}
			if e.Fate == batch.FateUnknown {
				stored[name(n)] = false
			}
		}
	}
	last := enqueue(s, q, 100)
	stored[last] = true
	s.work(s.open(), nothing, concurrency(4, 4))
	s.wait("every job that was confirmed", func() bool {
		done := make(map[string]bool)
		for _, e := range s.history.Events() {
			done[e.ID] = done[e.ID] || e.Op == Done
		}
		for id, must := range stored {
			if must && !done[id] {
				return false
			}
		}
		return true
	})
	s.waitDepth(q.Driver(), driver.Depth{})
	runs := make(map[string]int)
	for _, e := range s.history.Events() {
		if e.Op == Started {
			if runs[e.ID]++; runs[e.ID] > 1 {
				s.failf("%s ran twice", e.ID)
			}
			if _, ok := stored[e.ID]; !ok {
				s.failf("%s ran, although its enqueue said that it is certainly not stored", e.ID)
			}
		}
	}
}

func caseContextWorker(s *stage) {
	q := s.portable()
	for n := range 5 {
		enqueue(s, q, n)
	}
	w := s.worker(s.open(), concurrency(2, 2))
	gate := s.gate()
	s.check(batch.TryHandle(w, func(ctx context.Context, _ *batch.Job[task]) error { return gate.wait(ctx) }), "add the handler")
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	s.waitCount(2, Started)
	cancel()
	gate.open()
	soon, done := s.soon()
	defer done()
	select {
	case err := <-ended:
		s.check(err, "Run whose context ended and whose jobs did in time")
	case <-soon.Done():
		s.failf("Run goes on although its context ended")
	}
	s.work(s.open(), nothing)
	s.waitCount(5, Done)
	s.check(ExactCover(s.history.Events(), names(5)), "judge the history")
	s.check(AttemptCounts(s.history.Events()), "judge the history")
}
