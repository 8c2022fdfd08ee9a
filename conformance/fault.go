package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var (
	restarting = []string{needsRestart}
	freezing   = []string{needsFreeze}
	cutting    = []string{needsCut}
)

var faultCases = []Case{
	{Name: "restart-keeps", Rule: "Waiting, scheduled, running and dead jobs survive a restart of the broker.", Needs: restarting, leases: true, run: caseRestartKeeps},
	{Name: "restart-delay", Rule: "A delay survives a restart of the broker: it is neither early nor lost.", Needs: []string{needsRestart, "Delayer"}, run: caseRestartDelay},
	{Name: "restart-pause", Rule: "A queue stays paused across a restart of the broker.", Needs: []string{needsRestart, "Pauser"}, leases: true, run: caseRestartPause},
	{Name: "freeze-deadline", Rule: "While the broker does not answer, calls end with their context; what was confirmed is there when it does again.", Needs: freezing, run: caseFreezeDeadline},
	{Name: "cut-goes-on", Rule: "Producers and workers go on when their connections break, and no confirmed job is lost.", Needs: cutting, leases: true, run: caseCutGoesOn},
}

// reopen opens a handle on a broker that was restarted.
func (s *stage) reopen() driver.Driver {
	var d driver.Driver
	s.eventually("opening a handle after the fault", func() error {
		var err error
		if d, err = s.harness.open(s.ctx); err == nil {
			err = d.Declare(s.ctx, s.queue)
			s.keep(d)
		}
		return err
	})
	return d
}

func caseRestartKeeps(s *stage) {
	d := s.declared()
	var group []string // in their order, the first of which is running
	if _, ok := bare(d).(driver.Grouper); ok {
		group = []string{"head", "second"}
		s.put(d, grouped(group[0], "group"), grouped(group[1], "group"))
		s.receiveOne(s.consume(d, 1))
	}
	_, running := s.fill(d)
	m := full("full")
	s.withCapabilities(d, m)
	s.put(d, m)
	s.check(s.harness.Restart(s.ctx), "restart the broker")
	d = s.reopen()
	want := append([]string{running.ID, name(3), name(4), m.ID}, group...)
	c := s.consume(d, len(want))
	var ids []string
	for range want {
		// One by one: what was running comes last, when the leases of the others
		// would be over.
		got := s.receiveBy(s.lease()+s.overdue(), c, 1)[0]
		ids = append(ids, got.ID)
		equal(s, got.Failures, 0, "Failures of %s", got.ID)
		if got.ID == m.ID {
			s.check(sameMessage(&got.Message, m), "received after the restart")
		}
		s.settle(c, got, driver.OutcomeDone)
	}
	s.each("jobs that were waiting or running before the restart", ids, want)
	if group != nil && slices.Index(ids, group[0]) > slices.Index(ids, group[1]) {
		s.failf("%s came before %s of its group, which was running when the broker was restarted", group[1], group[0])
	}
	dead := s.waitDeadLetters(d, 1)[0]
	equal(s, dead.ID, name(0), "the dead letter")
	equal(s, dead.LastError, "failed for good", "LastError of the dead letter")
	equal(s, dead.Reason, driver.ReasonAttempts, "Reason of the dead letter")
	equal(s, dead.Failures, 1, "Failures of the dead letter")
	if _, ok := bare(d).(driver.Inspector); ok {
		e := s.waitList(d, driver.StateScheduled, name(1))[0]
		equal(s, e.Failures, 1, "Failures of the scheduled job")
		equal(s, e.LastError, "failed", "LastError of the scheduled job")
		s.dueIn(e, time.Hour)
	}
	s.waitDepth(d, driver.Depth{Scheduled: 1, Dead: 1})
}

func caseRestartDelay(s *stage) {
	const delay = 3 * time.Second
	d := s.declared()
	begin := s.history.Now()
	s.put(d, delayed("job", delay))
	end := s.history.Now()
	s.check(s.harness.Restart(s.ctx), "restart the broker")
	restarted := s.history.Now()
	c := s.consume(s.reopen(), 1)
	got := s.receiveBy(delay, c, 1)[0]
	now := s.history.Now()
	s.check(Within("the delayed job", begin, now, delay, now), "measure")
	s.check(Within("the delayed job", max(end+delay, restarted), now, now-max(end+delay, restarted), s.lateness()), "measure")
	s.settle(c, got, driver.OutcomeDone)
}

func caseRestartPause(s *stage) {
	d := s.declared()
	s.paused(d)
	s.put(d, message("job"))
	s.check(s.harness.Restart(s.ctx), "restart the broker")
	d = s.reopen()
	c := s.consume(d, 1)
	s.receiveNone(c, silence, "the queue was paused before the restart")
	s.check(capable[batch.Pauser](s, d).Resume(s.ctx, s.queue), "resume")
	s.settle(c, s.receiveBy(s.lease()+s.overdue(), c, 1)[0], driver.OutcomeDone)
}

func caseFreezeDeadline(s *stage) {
	q := s.portable()
	enqueue(s, q, 0)
	d := q.Driver()
	c := s.consume(d, 1)
	thaw, err := s.harness.Freeze(s.ctx)
	s.check(err, "freeze the broker")
	thawed := newGate()
	thawOnce := func() { thawed.once.Do(func() { thaw(); close(thawed.done) }) }
	defer thawOnce()
	s.after(func(context.Context) error { thawOnce(); return nil }) // also if this case hangs
	const deadline = 500 * time.Millisecond
	var enqueued error
	for what, call := range map[string]func(ctx context.Context) error{
		"Enqueue": func(ctx context.Context) error {
			_, enqueued = q.Enqueue(ctx, task{N: 1}, batch.ID(q, name(1)))
			return enqueued
		},
		"Depth": func(ctx context.Context) error { _, err := d.Depth(ctx, s.queue); return err },
		"DeadLetters": func(ctx context.Context) error {
			_, _, err := d.DeadLetters(ctx, s.queue, "", 1)
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(s.ctx, deadline)
		begin := s.history.Now()
		err := call(ctx)
		cancel()
		s.is(err, context.DeadlineExceeded, "%s on a broker that does not answer", what)
		s.check(Within(what, begin, s.history.Now(), 0, deadline+s.lateness()), "measure")
	}
	thawOnce()
	maybe := 0
	var e *batch.EnqueueError
	if errors.As(enqueued, &e) && e.Fate == batch.FateUnknown {
		maybe = 1
	}
	s.eventually("asking the broker that answers again", func() error { _, err := d.Depth(s.ctx, s.queue); return err })
	enqueue(s, q, 2)
	s.check(c.Close(s.ctx), "close the consumer")
	s.work(s.open(), nothing)
	s.wait("what was confirmed", func() bool {
		return s.history.Count(Done) >= 2 && len(s.history.Of(name(2))) > 2 && len(s.history.Of(name(0))) > 2
	})
	s.waitDepth(d, driver.Depth{})
	if n := len(s.history.Of(name(1))); n > 0 && maybe == 0 {
		s.failf("%s ran, although its enqueue said that it is certainly not stored", name(1))
	}
}

func caseCutGoesOn(s *stage) {
	const rounds, each = 4, 25
	q := s.portable()
	s.work(s.open(), nothing, concurrency(4, 4))
	var confirmed []string
	for round := range rounds {
		if round > 0 {
			s.check(s.harness.Cut(s.ctx), "cut the connections")
		}
		for i := range each {
			n := round*each + i
			err := tryEnqueue(s, q, n)
			var e *batch.EnqueueError
			switch {
			case err == nil:
				confirmed = append(confirmed, name(n))
			case !errors.As(err, &e) || e.Fate != batch.FateUnknown:
				s.failf("an enqueue after the connections were cut, which can be tried again: %v", err)
			}
		}
	}
	if len(confirmed) < rounds*each-rounds*each/5 {
		s.failf("only %d of %d enqueues were confirmed", len(confirmed), rounds*each)
	}
	s.waitBy(s.lease()+s.overdue(), fmt.Sprintf("the %d confirmed jobs", len(confirmed)), func() bool {
		done := make(map[string]bool)
		for _, e := range s.history.Events() {
			done[e.ID] = done[e.ID] || e.Op == Done
		}
		for _, id := range confirmed {
			if !done[id] {
				return false
			}
		}
		return true
	})
	s.check(AttemptCounts(s.history.Events()), "judge the history")
}
