package conformance

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var closeCases = []Case{
	{Name: "closed-driver", Rule: "After Close every method of the driver returns ErrClosed, and a second Close is a no-op.", leases: true, run: caseClosedDriver},
	{Name: "closed-consumer", Rule: "After Close every method of a consumer returns ErrClosed, a second Close is a no-op, and its driver goes on.", leases: true, run: caseClosedConsumer},
	{Name: "close-unblocks", Rule: "Closing a consumer, or its driver, ends Receive calls under way with ErrClosed.", run: caseCloseUnblocks},
	{Name: "close-keeps", Rule: "Closing a consumer loses none of what it held.", leases: true, run: caseCloseKeeps},
	{Name: "close-concurrent", Rule: "Closing a handle while it enqueues leaves every confirmed job stored.", run: caseCloseConcurrent},
	{Name: "close-alone", Rule: "Closing one handle does not disturb another.", run: caseCloseAlone},
	{Name: "worker-closed-driver", Rule: "A worker whose driver is closed under it ends with ErrClosed.", run: caseWorkerClosedDriver},
}

func caseClosedDriver(s *stage) {
	d := s.declared()
	c := s.consume(d, 1)
	for range 2 {
		s.check(d.Close(s.ctx), "close")
	}
	all := driver.Selection{All: true}
	for what, call := range map[string]func() error{
		"Declare":     func() error { return d.Declare(s.ctx, s.queue) },
		"DeleteQueue": func() error { return d.DeleteQueue(s.ctx, s.queue) },
		"Enqueue": func() error {
			results := d.Enqueue(s.ctx, s.queue, []*driver.Message{message("job")})
			if len(results) == 0 {
				return nil
			}
			if fate := driver.FateOf(results[0].Err); results[0].Err != nil && fate != driver.FateNotStored {
				s.problem("the fate of an enqueue after Close is %q, but nothing was sent", fate)
			}
			return results[0].Err
		},
		"Consume": func() error {
			_, err := d.Consume(s.ctx, s.queue, driver.ConsumeOptions{Lease: s.lease(), Prefetch: 1})
			return err
		},
		"Depth":                 func() error { _, err := d.Depth(s.ctx, s.queue); return err },
		"DeadLetters":           func() error { _, _, err := d.DeadLetters(s.ctx, s.queue, "", 1); return err },
		"Redrive":               func() error { _, err := d.Redrive(s.ctx, s.queue, all); return err },
		"Discard":               func() error { _, err := d.Discard(s.ctx, s.queue, all); return err },
		"Receive of a consumer": func() error { _, err := c.Receive(s.ctx, 1); return err },
	} {
		s.is(call(), driver.ErrClosed, "%s after Close", what)
	}
	for what, call := range queueCalls(s.ctx, d, s.queue) {
		s.is(call(), driver.ErrClosed, "%s after Close", what)
	}
	if l, ok := bare(d).(driver.QueueLister); ok {
		_, err := l.ListQueues(s.ctx)
		s.is(err, driver.ErrClosed, "ListQueues after Close")
	}
	s.check(c.Close(s.ctx), "close a consumer after its driver")
}

func caseClosedConsumer(s *stage) {
	d := s.declared()
	s.put(d, message("job"))
	c := s.consume(d, 1)
	held := s.receiveOne(c)
	for range 2 {
		s.check(c.Close(s.ctx), "close the consumer")
	}
	_, err := c.Receive(s.ctx, 1)
	s.is(err, driver.ErrClosed, "Receive after Close")
	s.is(only(c.Settle(s.ctx, []driver.Settlement{{Delivery: held, Outcome: driver.OutcomeDone}})), driver.ErrClosed, "Settle after Close")
	s.is(only(c.Extend(s.ctx, []*driver.Delivery{held})), driver.ErrClosed, "Extend after Close")
	other := s.consume(d, 1)
	again := s.receiveBy(s.lease()+s.overdue(), other, 1)[0]
	equal(s, again.ID, "job", "the job that the closed consumer held")
	s.settle(other, again, driver.OutcomeDone)
}

func caseCloseUnblocks(s *stage) {
	d := s.declared()
	s.unblocks(d, "its consumer", func(c driver.Consumer) error { return c.Close(s.ctx) })
	s.unblocks(d, "its driver", func(driver.Consumer) error { return d.Close(s.ctx) })
}

// unblocks ends the case unless end ends the Receive calls of a new consumer.
func (s *stage) unblocks(d driver.Driver, what string, end func(driver.Consumer) error) {
	receivers := min(2, s.info.Limits.Receivers)
	c := s.consume(d, receivers)
	blocked := make(chan error, receivers)
	for range receivers {
		go func() {
			_, err := c.Receive(s.ctx, 1)
			blocked <- err
		}()
	}
	// Whether Receive has begun to wait cannot be seen from outside. If it has
	// not, ErrClosed is right as well.
	s.pass(20 * time.Millisecond)
	s.check(end(c), "close %s", what)
	ctx, cancel := s.soon()
	defer cancel()
	for range receivers {
		select {
		case err := <-blocked:
			s.is(err, driver.ErrClosed, "Receive under way when %s was closed", what)
		case <-ctx.Done():
			s.failf("Receive goes on although %s was closed", what)
		}
	}
}

func caseCloseKeeps(s *stage) {
	const jobs = 4
	d := s.declared()
	s.put(d, messages(jobs)...)
	c := s.consume(d, jobs)
	s.receive(c, 2)
	s.check(c.Close(s.ctx), "close the consumer")
	s.check(d.Close(s.ctx), "close the handle")
	s.work(s.open(), nothing)
	s.waitBy(s.lease()+s.overdue(), "all jobs", func() bool { return s.history.Count(Done) >= jobs })
	seen := make(map[string]bool)
	for _, e := range s.history.Events() {
		if e.Op == Done {
			if seen[e.ID] {
				s.failf("%s was done twice", e.ID)
			}
			seen[e.ID] = true
			equal(s, e.Attempt, 1, "Attempt of %s", e.ID)
		}
	}
	s.waitDepth(s.open(), driver.Depth{})
}

func caseCloseConcurrent(s *stage) {
	d := s.declared()
	e := &closingEnqueues{s: s, d: d, begun: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var producers sync.WaitGroup
		for p := range 4 {
			producers.Go(func() { e.run(p * 1_000_000) })
		}
		producers.Wait()
	}()
	select {
	case <-e.begun:
	case <-ended:
		s.failf("all producers ended before the handle was closed, the last by: %v", e.last)
	case <-s.ctx.Done():
		s.failf("few of the enqueues before the handle is closed have ended: %v", context.Cause(s.ctx))
	}
	s.check(d.Close(s.ctx), "close the handle")
	e.closed.Store(true)
	select {
	case <-ended:
	case <-s.ctx.Done():
		s.failf("an enqueue that was under way when the handle was closed does not end: %v", context.Cause(s.ctx))
	}
	c := s.consume(s.open(), 100)
	left := make(map[string]bool)
	for _, id := range e.confirmed {
		left[id] = true
	}
	for len(left) > 0 {
		for _, got := range s.receive(c, 1) {
			delete(left, got.ID) // one whose fate is unknown may be there too
			s.settle(c, got, driver.OutcomeDone)
		}
	}
}

// closingEnqueues enqueues on a handle until that is closed.
type closingEnqueues struct {
	s      *stage
	d      driver.Driver
	begun  chan struct{} // closed when some are confirmed
	closed atomic.Bool   // set when Close has returned

	mu        sync.Mutex // guards following
	confirmed []string
	last      error
}

// run enqueues one after another, until one fails.
func (e *closingEnqueues) run(first int) {
	for n := first; e.s.ctx.Err() == nil; n++ {
		m := message(name(n))
		late := e.closed.Load()
		for _, r := range e.d.Enqueue(e.s.ctx, e.s.queue, []*driver.Message{m}) {
			if r.Err != nil {
				if !errors.Is(r.Err, driver.ErrClosed) && driver.FateOf(r.Err) != driver.FateUnknown {
					e.s.problem("an enqueue on a handle that is being closed: %v", r.Err)
				}
				e.mu.Lock()
				defer e.mu.Unlock()
				e.last = r.Err
				return
			}
		}
		if late {
			e.s.problem("an enqueue that began after the handle was closed succeeded, want %q", driver.ErrClosed)
			return
		}
		e.mu.Lock()
		if e.confirmed = append(e.confirmed, m.ID); len(e.confirmed) == 50 {
			close(e.begun)
		}
		e.mu.Unlock()
	}
}

func caseCloseAlone(s *stage) {
	one, two := s.declared(), s.declared()
	c := s.consume(two, 1)
	s.put(one, message("job"))
	held := s.receiveOne(c)
	s.check(one.Close(s.ctx), "close the other handle")
	s.check(only(c.Extend(s.ctx, []*driver.Delivery{held})), "extend after another handle was closed")
	s.settle(c, held, driver.OutcomeDone)
	s.put(two, message("next"))
	s.settle(c, s.receiveOne(c), driver.OutcomeDone)
}

func caseWorkerClosedDriver(s *stage) {
	d := s.declared()
	w := s.worker(d)
	s.check(batch.TryHandle(w, nothing), "add the handler")
	ended := make(chan error, 1)
	go func() { ended <- w.Run(s.ctx) }()
	q := s.portable()
	enqueue(s, q, 0)
	s.waitCount(1, Done)
	s.check(d.Close(s.ctx), "close the driver")
	ctx, cancel := s.soon()
	defer cancel()
	select {
	case err := <-ended:
		s.is(err, batch.ErrClosed, "Run of a worker whose driver was closed")
	case <-ctx.Done():
		stopping, cancel := context.WithTimeout(s.ctx, time.Second)
		defer cancel()
		w.Stop(stopping)
		s.failf("Run goes on although its driver was closed")
	}
}
