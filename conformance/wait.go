package conformance

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// soon is a context that ends when something that should have come at once has
// not.
func (s *stage) soon() (context.Context, context.CancelFunc) { return s.by(0) }

// by is soon for what should come after d.
func (s *stage) by(d time.Duration) (context.Context, context.CancelFunc) {
	d += s.patience()
	return context.WithTimeoutCause(s.ctx, d, fmt.Errorf("not within %s", d))
}

// wait ends the case if ok, which is about the history, does not become true.
func (s *stage) wait(what string, ok func() bool) { s.waitBy(0, what, ok) }

// waitBy is wait for what should become true after d.
func (s *stage) waitBy(d time.Duration, what string, ok func() bool) {
	ctx, cancel := s.by(d)
	defer cancel()
	if err := s.history.Wait(ctx, ok); err != nil {
		s.failf("waiting for %s: %v", what, err)
	}
}

// waitCount waits until there are n events with one of the ops. Many may take long on a slow
// broker, so the time is that from one to the next.
func (s *stage) waitCount(n int, ops ...Op) {
	count := func() int { return s.history.Count(ops...) }
	for {
		before := count()
		ctx, cancel := s.soon()
		err := s.history.Wait(ctx, func() bool { return count() >= n })
		cancel()
		if err == nil {
			return
		}
		if after := count(); after == before || s.ctx.Err() != nil {
			s.failf("waiting for %d jobs %v: there are %d, and no more came: %v", n, ops, after, err)
		}
	}
}

// reaches waits until a count that is sent to ch is n.
func (s *stage) reaches(ch <-chan int32, n int32, what string) {
	ctx, cancel := s.soon()
	defer cancel()
	for last := int32(0); last < n; {
		select {
		case last = <-ch:
		case <-ctx.Done():
			s.failf("waiting for %d %s: %v; there are %d", n, what, context.Cause(ctx), last)
		}
	}
}

// waitSoon is wait for what is not in the history.
func (s *stage) waitSoon(what string, ok func() bool) {
	s.eventually("waiting for "+what, func() error {
		if !ok() {
			return errors.New("not yet")
		}
		return nil
	})
}

// eventually ends the case if ok, which asks the broker, keeps returning an error.
func (s *stage) eventually(what string, ok func() error) { s.eventuallyBy(0, what, ok) }

// eventuallyBy is eventually for what should become true after d.
func (s *stage) eventuallyBy(d time.Duration, what string, ok func() error) {
	ctx, cancel := s.by(d)
	defer cancel()
	s.check(until(ctx, ok), "%s", what)
}

// until returns nil when ok does, which is called again and again, and what it returned the
// last time if ctx ends before.
func until(ctx context.Context, ok func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the last time: %w: %w", err, context.Cause(ctx))
		}
	}
}

// unjudged is why a case could not judge what it is about, or empty.
func (s *stage) unjudged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tooSlow
}

// pass lets time pass during which something must not happen. It is not for
// waiting until something has happened.
func (s *stage) pass(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.ctx.Done():
		s.failf("%v", context.Cause(s.ctx))
	}
}

// lateness is how late something may be that is promised at a time: the promise
// says a second on an idle broker, and the machine may be late itself.
func (s *stage) lateness() time.Duration { return time.Second + s.promptness() }

// promptness is how late a call may return that is to return at once.
func (s *stage) promptness() time.Duration { return s.harness.Slack + steps*s.machine.worst() }

// patience is how long a case waits for something that should come at once. It
// only passes when something is wrong, so it may be long.
func (s *stage) patience() time.Duration {
	return 15*s.harness.Slack + manySteps*s.machine.worst()
}

// slow ends a case that cannot judge what it is about, because the machine is too slow.
func (s *stage) slow(format string, args ...any) {
	s.doubt(format, args...)
	runtime.Goexit()
}

// doubt records that the machine is too slow to judge something, and goes on. It may be
// called from anywhere.
func (s *stage) doubt(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tooSlow = fmt.Sprintf(format, args...)
}

// overdue is how late after its lease a job may be handed out: brokers look for
// ended leases from time to time, and no promise says how often.
func (s *stage) overdue() time.Duration { return s.lease() + s.lateness() }

// handedOver checks that what a vanished holder had came in time. It was due then, or when somebody waited for it
// and the holder was gone, if that took longer.
func (s *stage) handedOver(what string, due, waited, now time.Duration) {
	due = max(due, waited)
	s.check(Within(what, due, now, min(0, now-due), s.overdue()), "measure")
}

// closed tells whether a channel is.
func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// strained tells whether the machine was so late that a worker cannot be expected to
// keep a lease, or a case to do something within a second.
func (s *stage) strained() bool {
	worst := s.machine.worst()
	return worst > max(s.harness.Slack/2, 250*time.Millisecond) || s.leases && s.harness.Lease > 0 && worst > s.harness.Lease/4
}

// noticed is how long it may take to notice that a connection is dead of which
// nothing is heard, half a minute by default: two of the usual heartbeats are not enough,
// and three are.
func (s *stage) noticed() time.Duration { return 30 * min(s.harness.Slack, time.Second) }
