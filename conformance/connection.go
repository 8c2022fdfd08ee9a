package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/batch-go/batch/conformance/proxy"
	"github.com/batch-go/batch/driver"
)

var connectionCases = []Case{
	{Name: "idle-closed", Rule: "A connection that the other side closed while it was idle is noticed before it is used: no enqueue on it may be stored.", Needs: networked, timed: true, run: caseIdleClosed},
	{Name: "connection-forgotten", Rule: "Connections on which nothing passes any more, without a reset, cost seconds: waiting consumers and producers go on with new ones.", Needs: networked, leases: true, timed: true, run: caseConnectionForgotten},
	{Name: "connection-held", Rule: "A worker whose connections are silent for longer than a lease, and then go on, goes on too, and no confirmed job is lost.", Needs: networked, leases: true, timed: true, run: caseConnectionHeld},
	{Name: "connection-closing", Rule: "A Close whose connection breaks under it is no failure: the connection has ended, and what was confirmed is kept.", Needs: networked, run: caseConnectionClosing},
}

func caseIdleClosed(s *stage) {
	const rounds, callers = 4, 6
	p := s.network()
	d := s.through(p)
	s.check(d.Declare(s.ctx, s.queue), "declare")
	confirmed := 0
	call := func(n int) {
		m := message(name(n))
		err := stored(d.Enqueue(s.ctx, s.queue, []*driver.Message{m}))
		switch {
		case err == nil:
			s.history.Add(Event{Op: Enqueued, ID: m.ID})
		case driver.FateOf(err) != driver.FateNotStored:
			s.problem("an enqueue after its connection was closed while it was idle may be stored: %v", err)
		}
	}
	for round := range rounds {
		// At once, so that there are as many connections as the driver makes.
		var all sync.WaitGroup
		for n := range callers {
			all.Go(func() { call(round*100 + n) })
		}
		all.Wait()
		ended := 0
		if round%2 == 0 {
			ended = p.End()
		} else {
			ended = p.Reset()
		}
		s.history.Add(Event{Op: Noted, Note: fmt.Sprintf("%d connections were closed", ended)})
		s.pass(200 * time.Millisecond) // idle: time to notice
		for n := range callers {
			call(round*100 + callers + n)
		}
		// The next round closes connections that are there again, however long that took.
		again, before := round*100+2*callers, s.history.Count(Enqueued)
		s.eventually("an enqueue after its connection was closed while it was idle", func() error {
			again++
			call(again)
			if s.history.Count(Enqueued) == before {
				return errors.New("it failed")
			}
			return nil
		})
	}
	if confirmed = s.history.Count(Enqueued); confirmed < rounds*callers {
		s.failf("only %d enqueues were confirmed, want %d at least", confirmed, rounds*callers)
	}
	s.eventually("counting what was confirmed", func() error {
		depth, err := d.Depth(s.ctx, s.queue)
		if err == nil && depth.Waiting != driver.UnknownCount && depth.Waiting != int64(confirmed) {
			err = fmt.Errorf("%d wait, and %d were confirmed", depth.Waiting, confirmed)
		}
		return err
	})
}

func caseConnectionForgotten(s *stage) {
	s.check(s.declared().Declare(s.ctx, s.queue), "declare")
	worker, producer := s.process("worker"), s.process("producer")
	worker.works(nothing)
	enqueue(s, producer.queue, 0)
	s.waitCount(1, Done)
	s.pass(300 * time.Millisecond) // until the worker waits again
	worker.disturb("its connections are forgotten", (*proxy.Proxy).Forget)
	producer.disturb("its connections are forgotten", (*proxy.Proxy).Forget)
	other := s.portable()
	enqueue(s, other, 1)
	ctx, cancel := s.by(s.noticed())
	defer cancel()
	n := 2
	s.check(until(ctx, func() error {
		producer.enqueueTold(n, 1)
		n++
		if s.history.Count(Enqueued) < 3 {
			return fmt.Errorf("none of %d enqueues was confirmed", n-2)
		}
		return nil
	}), "enqueue after the producer's connections were forgotten")
	s.waitOver(s.noticed()+s.grace(), "the jobs of a worker whose connections were forgotten")
	worker.mend()
	producer.mend()
	s.finished(s.grace(), driver.Depth{})
}

func caseConnectionHeld(s *stage) {
	const jobs = 20
	s.check(s.declared().Declare(s.ctx, s.queue), "declare")
	worker, producer := s.process("worker"), s.process("producer")
	worker.works(func(ctx context.Context, _ *job) error { return busy(ctx, 10*time.Millisecond) }, concurrency(2, 4))
	for n := range jobs {
		producer.enqueueTold(n, 1)
		if n == jobs/2 {
			worker.disturb("nothing passes", func(p *proxy.Proxy) { p.Hold(proxy.Both) })
		}
	}
	s.pass(s.lease() + s.lease()/2 + time.Second)
	worker.mend()
	s.finished(s.grace(), driver.Depth{})
}

func caseConnectionClosing(s *stage) {
	const rounds, consuming = 4, 2 // the last have a consumer, with which there is more to end
	for n := range rounds {
		p := s.network()
		d, err := s.harness.openAt(s.ctx, p.Addr())
		s.check(err, "open a handle through a proxy")
		s.check(d.Declare(s.ctx, s.queue), "declare")
		s.put(d, message(name(n)))
		if n >= consuming {
			c := s.consume(d, 1)
			s.settle(c, s.receiveOne(c), driver.OutcomeRelease)
		}
		// What it says to the broker as it ends, if it says anything.
		p.CutAt(proxy.Cut{Call: p.Calls() + 1, After: n%2 > 0})
		s.history.Add(Event{Op: Disturbed, Note: "the connection breaks in Close"})
		s.check(d.Close(s.ctx), "close a handle whose connection breaks meanwhile")
	}
	s.finish(s.open(), rounds)
}
