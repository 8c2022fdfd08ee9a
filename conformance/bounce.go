package conformance

import (
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var bounceCases = []Case{
	{Name: "bounce-retry", Rule: "A retry stores Bounces and BouncedSince as the settlement says, with a delay and without, and zero too.", run: caseBounceRetry},
	{Name: "bounce-release", Rule: "A release keeps Bounces and BouncedSince.", run: caseBounceRelease},
	{Name: "bounce-loss", Rule: "A lost holder keeps Bounces and BouncedSince.", leases: true, run: caseBounceLoss},
	{Name: "bounce-dead", Rule: "A dead letter has the Bounces and BouncedSince that its settlement says.", run: caseBounceDead},
	{Name: "bounce-redrive", Rule: "A job that was redriven has no Bounces.", run: caseBounceRedrive},
	{Name: "bounce-list", Rule: "List and Find show Bounces and BouncedSince in every state.", Needs: inspector, run: caseBounceList},
}

// bounces are what a settlement says of them.
type bounces struct {
	n     int
	since time.Time
}

// someBounces are bounces at the precision that drivers carry.
func someBounces(n int) bounces {
	return bounces{n, time.Date(2020, 2, 29, 23, 59, 59, 123e6, time.UTC).Add(time.Duration(n) * time.Millisecond)}
}

// retry is a settlement that makes the job come back with these bounces.
func (b bounces) retry(d *driver.Delivery, delay time.Duration) driver.Settlement {
	return driver.Settlement{Delivery: d, Outcome: driver.OutcomeRetry, Delay: delay, Failures: 1, Error: "why", Bounces: b.n, BouncedSince: b.since}
}

// dead is a settlement that makes the job a dead letter with these bounces.
func (b bounces) dead(d *driver.Delivery) driver.Settlement {
	return driver.Settlement{Delivery: d, Outcome: driver.OutcomeDead, Failures: 1, Error: "why", Reason: driver.ReasonUnknownKind, Bounces: b.n, BouncedSince: b.since}
}

// check ends the case unless a job has these bounces.
func (b bounces) check(s *stage, n int, since time.Time, what string, args ...any) {
	got := bounces{n, since}
	if got.since.Equal(b.since) {
		got.since = b.since // wherever its location
	}
	equal(s, got, b, "Bounces and BouncedSince "+what, args...)
}

func caseBounceRetry(s *stage) {
	d := s.declared()
	s.put(d, message("job"))
	c := s.consume(d, 1)
	got := s.receiveOne(c)
	bounces{}.check(s, got.Bounces, got.BouncedSince, "at first")
	for _, want := range []bounces{someBounces(1), someBounces(100_000), {}, someBounces(3), {}} {
		for _, delay := range []time.Duration{0, 50 * time.Millisecond} {
			s.settleAs(c, want.retry(got, delay))
			got = s.receiveOne(c)
			want.check(s, got.Bounces, got.BouncedSince, "after a retry with a delay of %s", delay)
			equal(s, got.LastError, "why", "LastError")
		}
	}
	s.settle(c, got, driver.OutcomeDone)
}

func caseBounceRelease(s *stage) {
	d := s.declared()
	s.put(d, message("job"))
	c := s.consume(d, 1)
	want := someBounces(2)
	s.settleAs(c, want.retry(s.receiveOne(c), 0))
	for n := range 3 {
		got := s.receiveOne(c)
		want.check(s, got.Bounces, got.BouncedSince, "after %d releases", n)
		s.settle(c, got, driver.OutcomeRelease)
	}
	s.settle(c, s.receiveOne(c), driver.OutcomeDone)
}

func caseBounceLoss(s *stage) {
	d := s.declared()
	s.put(d, message("job"))
	c := s.consume(d, 1)
	want := someBounces(2)
	s.settleAs(c, want.retry(s.receiveOne(c), 0))
	s.receiveOne(c)
	_, c, got := s.nextHolder(d)
	equal(s, got.Redeliveries, 1, "Redeliveries after a lost holder")
	want.check(s, got.Bounces, got.BouncedSince, "after a lost holder")
	s.settle(c, got, driver.OutcomeDone)
}

func caseBounceDead(s *stage) {
	d := s.declared()
	c := s.consume(d, 1)
	for _, retried := range []bool{false, true} {
		s.put(d, message("job"))
		got := s.receiveOne(c)
		if retried {
			s.settleAs(c, someBounces(9).retry(got, 0))
			got = s.receiveOne(c)
		}
		want := someBounces(7)
		s.settleAs(c, want.dead(got))
		dead := s.waitDeadLetters(d, 1)[0]
		want.check(s, dead.Bounces, dead.BouncedSince, "of the dead letter")
		_, err := d.Discard(s.ctx, s.queue, driver.Selection{All: true})
		s.check(err, "discard")
	}
}

func caseBounceRedrive(s *stage) {
	d := s.declared()
	s.put(d, message("job"))
	c := s.consume(d, 1)
	s.settleAs(c, someBounces(1).retry(s.receiveOne(c), 0))
	s.settleAs(c, someBounces(7).dead(s.receiveOne(c)))
	s.waitDeadLetters(d, 1)
	_, err := d.Redrive(s.ctx, s.queue, driver.Selection{IDs: []string{"job"}})
	s.check(err, "redrive")
	got := s.receiveOne(c)
	bounces{}.check(s, got.Bounces, got.BouncedSince, "after a redrive")
	s.settleDead(c, got)
	dead := s.waitDeadLetters(d, 1)[0]
	bounces{}.check(s, dead.Bounces, dead.BouncedSince, "of a dead letter whose settlement has none")
}

func caseBounceList(s *stage) {
	d := s.declared()
	i := capable[batch.Inspector](s, d)
	c := s.consume(d, 1)
	want := someBounces(4)
	for _, end := range []struct {
		state driver.State
		as    func(*driver.Delivery) driver.Settlement
	}{
		{driver.StateScheduled, func(got *driver.Delivery) driver.Settlement { return want.retry(got, time.Hour) }},
		{driver.StateDead, want.dead},
		{driver.StateWaiting, func(got *driver.Delivery) driver.Settlement { return want.retry(got, 0) }},
	} {
		state, id := end.state, end.state.String()
		s.put(d, message(id))
		s.settleAs(c, end.as(s.receiveOne(c)))
		listed := s.waitList(d, state, id)[0]
		want.check(s, listed.Bounces, listed.BouncedSince, "of the %s job in the list", state)
		found, err := i.Find(s.ctx, s.queue, id)
		s.check(err, "find the %s job", state)
		want.check(s, found.Bounces, found.BouncedSince, "of the %s job that was found", state)
		equal(s, found.DeadAt.IsZero(), state != driver.StateDead, "whether the %s job has no DeadAt", state)
		s.check(i.Delete(s.ctx, s.queue, id), "delete the %s job", state)
	}
}
