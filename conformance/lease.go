package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var leaseCases = []Case{
	{Name: "lease-length", Rule: "A consumer's Lease is what it was opened with, and zero exactly where MaxLease is.", leases: true, run: caseLeaseLength},
	{Name: "lease-expiry", Rule: "A job whose holder shows no sign of life is handed to another after the lease, not before, with its Redeliveries counted and no failure.", leases: true, run: caseLeaseExpiry},
	{Name: "lease-extend", Rule: "A delivery is held for as long as it is extended, over three leases.", leases: true, run: caseLeaseExtend},
	{Name: "extend-ends", Rule: "However often a delivery is extended, its lease ends one Lease after the last time.", leases: true, run: caseExtendEnds},
	{Name: "lease-handler", Rule: "A handler that runs for more than three leases keeps its job to itself.", leases: true, run: caseLeaseHandler},
	{Name: "lease-buffered", Rule: "Jobs that wait in a worker's buffer for more than a lease are not run twice.", leases: true, run: caseLeaseBuffered},
	{Name: "lease-independent", Rule: "Extending one delivery does not keep another one.", leases: true, run: caseLeaseIndependent},
	{Name: "holder-vanishes", Rule: "The jobs of a holder that vanished go to others, lose nothing and spend no attempt.", leases: true, run: caseHolderVanishes},
	{Name: "receive-abandoned", Rule: "A job that comes for a Receive that was given up is handed to a later one.", leases: true, run: caseReceiveAbandoned},
	{Name: "lost-settle", Rule: "Settling a delivery whose job is with another holder is ErrLeaseLost and does not touch it.", leases: true, run: caseLostSettle},
	{Name: "lost-extend", Rule: "Extending a delivery that is lost or settled is ErrLeaseLost, for that delivery alone.", leases: true, run: caseLostExtend},
}

func caseLeaseLength(s *stage) {
	d := s.declared()
	equal(s, s.consume(d, 1).Lease(), s.lease(), "Lease of a consumer that was opened with %s", s.lease())
}

func caseLeaseExpiry(s *stage) {
	first := s.declared()
	m := full("job")
	s.put(first, m)
	begin := s.history.Now()
	held := s.receiveOne(s.consume(first, 1))
	received := s.history.Now()
	equal(s, held.Redeliveries, 0, "Redeliveries at first")
	second := s.consume(s.open(), 1)
	after := s.vanish(first)
	vanished := s.history.Now()
	got := s.receiveBy(after+s.overdue(), second, 1)[0]
	now := s.history.Now()
	s.check(Within("the job of a lost lease", begin, now, after, now), "measure")
	s.handedOver("the job of a lost lease", received+after, vanished, now)
	s.check(sameMessage(&got.Message, m), "received again")
	equal(s, got.Redeliveries, 1, "Redeliveries after one lost holder")
	equal(s, got.Deliveries, 2, "Deliveries after one lost holder")
	equal(s, got.Failures, 0, "Failures after one lost holder")
	s.settle(second, got, driver.OutcomeDone)
	s.waitDepth(s.open(), driver.Depth{})
}

// keep extends deliveries until ctx ends, and returns the first error.
func keep(ctx context.Context, c driver.Consumer, lease time.Duration, deliveries ...*driver.Delivery) error {
	tick := time.NewTicker(lease / 4)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := errors.Join(c.Extend(context.WithoutCancel(ctx), deliveries)...); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// threeLeases is more than three leases; where the lease is the connection, time
// enough for a broker to get impatient.
func (s *stage) threeLeases() time.Duration { return max(3*s.lease()+s.lease()/4, time.Second) }

func caseLeaseExtend(s *stage) {
	d := s.declared()
	s.put(d, message("job"))
	c := s.consume(d, 1)
	held := s.receiveOne(c)
	ctx, cancel := context.WithTimeout(s.ctx, s.threeLeases())
	defer cancel()
	kept := make(chan error, 1)
	go func() { kept <- keep(ctx, c, max(s.lease(), 400*time.Millisecond), held) }()
	s.receiveNone(s.consume(s.open(), 1), s.threeLeases(), "its holder extends it")
	s.check(<-kept, "extend")
	s.settle(c, held, driver.OutcomeDone)
	s.waitDepth(d, driver.Depth{})
}

func caseExtendEnds(s *stage) {
	d := s.declared()
	s.put(d, message("job"))
	c := s.consume(d, 1)
	held := s.receiveOne(c)
	for range 20 {
		s.check(only(c.Extend(s.ctx, []*driver.Delivery{held})), "extend")
	}
	extended := s.history.Now()
	other := s.consume(s.open(), 1)
	after := s.vanish(d)
	vanished := s.history.Now()
	got := s.receiveBy(after+s.overdue(), other, 1)[0]
	s.handedOver("the job of a lease that was extended often", extended+after, vanished, s.history.Now())
	s.settle(other, got, driver.OutcomeDone)
}

func caseLeaseHandler(s *stage) {
	q := s.portable()
	handle := func(ctx context.Context, _ *batch.Job[task]) error {
		select {
		case <-time.After(s.threeLeases()):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	for range 2 {
		s.work(s.open(), handle)
	}
	enqueue(s, q, 0)
	s.waitBy(s.threeLeases(), "the long job", func() bool { return s.history.Count(Done, Failed, Lost) > 0 })
	s.waitDepth(q.Driver(), driver.Depth{})
	s.check(ExactCover(s.history.Events(), names(1)), "judge the history")
	equal(s, s.history.Count(Lost), 0, "leases lost")
}

func caseLeaseBuffered(s *stage) {
	const jobs = 5
	q := s.portable()
	for n := range jobs {
		enqueue(s, q, n)
	}
	handle := func(ctx context.Context, _ *batch.Job[task]) error {
		select {
		case <-time.After(s.threeLeases() / (jobs - 1)):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	s.work(s.open(), handle, concurrency(1, jobs-1))
	s.waitCount(1, Started)
	s.work(s.open(), handle)
	s.waitBy(2*s.threeLeases(), "all jobs", func() bool { return s.history.Count(Done) >= jobs })
	s.waitDepth(q.Driver(), driver.Depth{})
	s.check(NoOverlap(s.history.Events(), 0), "judge the history")
	s.check(ExactCover(s.history.Events(), names(jobs)), "judge the history")
	equal(s, s.history.Count(Lost), 0, "leases lost")
}

func caseLeaseIndependent(s *stage) {
	d := s.declared()
	s.put(d, messages(2)...)
	c := s.consume(d, 2)
	held := s.receive(c, 2)
	if s.lease() == 0 {
		// Where the lease is the connection there is nothing to extend by itself:
		// settling one must leave the other with its holder.
		s.settle(c, held[0], driver.OutcomeDone)
		s.check(only(c.Extend(s.ctx, held[1:])), "extend the other")
		s.settle(c, held[1], driver.OutcomeDone)
		return
	}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	kept := make(chan error, 1)
	go func() { kept <- keep(ctx, c, s.lease(), held[0]) }()
	other := s.consume(s.open(), 1)
	got := s.receiveBy(s.lease()+s.overdue(), other, 1)[0]
	equal(s, got.ID, held[1].ID, "the job whose lease was not extended")
	s.settle(other, got, driver.OutcomeDone)
	cancel()
	s.check(<-kept, "extend the other")
	s.settle(c, held[0], driver.OutcomeDone)
}

func caseHolderVanishes(s *stage) {
	const jobs, taken = 10, 5
	first := s.declared()
	s.put(first, messages(jobs)...)
	s.receive(s.consume(first, taken), taken)
	after := s.vanish(first)
	vanished := NewHistory()
	for _, e := range s.history.Events() {
		if e.Op == Started {
			vanished.Add(e)
		}
	}
	s.work(s.open(), nothing, concurrency(2, batch.NoPrefetch))
	s.waitBy(after+s.overdue(), "all jobs", func() bool { return s.history.Count(Done) >= jobs })
	again := make(map[string]bool)
	for _, e := range vanished.Events() {
		again[e.ID] = true
	}
	done := 0
	for _, e := range s.history.Events() {
		if e.Op != Done {
			continue
		}
		done++
		want := 1
		if again[e.ID] {
			want = 2
		}
		equal(s, e.Deliveries, want, "Deliveries of %s", e.ID)
		equal(s, e.Attempt, 1, "Attempt of %s", e.ID)
	}
	equal(s, done, jobs, "jobs done")
	s.waitDepth(s.open(), driver.Depth{})
}

func caseReceiveAbandoned(s *stage) {
	d := s.declared()
	c := s.consume(d, 1)
	const rounds = 5
	for n := range rounds {
		ctx, cancel := context.WithCancel(s.ctx)
		ended := make(chan error, 1)
		go func() {
			got, err := c.Receive(ctx, 1)
			for _, delivery := range got {
				// It came in spite of the cancellation: that is no loss.
				err = only(c.Settle(s.ctx, []driver.Settlement{{Delivery: delivery, Outcome: driver.OutcomeRelease}}))
			}
			ended <- err
		}()
		go cancel()
		s.put(d, message(name(n)))
		err := <-ended
		if err != nil && !errors.Is(err, context.Canceled) {
			s.failf("Receive that was cancelled: %v", err)
		}
		got := s.receiveBy(s.lease()+s.overdue(), c, 1)[0]
		equal(s, got.ID, name(n), "the job that came for a Receive that was given up")
		s.settle(c, got, driver.OutcomeDone)
	}
	s.waitDepth(d, driver.Depth{})
}

// lose makes a first consumer lose n jobs to a second one. The errors of the
// first are ErrLeaseLost, or ErrClosed where the lease is the connection and had to be
// closed.
func (s *stage) lose(n int) (first driver.Consumer, lost []*driver.Delivery, second driver.Consumer, held []*driver.Delivery, want error) {
	d := s.declared()
	s.put(d, messages(n)...)
	first = s.consume(d, n)
	lost = s.receive(first, n)
	second = s.consume(s.open(), n)
	want = driver.ErrLeaseLost
	if s.lease() == 0 {
		want = driver.ErrClosed
	}
	after := s.vanish(d)
	held = s.receiveBy(after+s.overdue(), second, n)
	return first, lost, second, held, want
}

func caseLostSettle(s *stage) {
	outcomes := []driver.Outcome{driver.OutcomeDone, driver.OutcomeRetry, driver.OutcomeRelease, driver.OutcomeDead}
	first, lost, second, held, want := s.lose(len(outcomes))
	ctx, cancel := context.WithCancel(s.ctx)
	kept := make(chan error, 1)
	go func() { kept <- keep(ctx, second, max(s.lease(), time.Second), held...) }()
	for i, outcome := range outcomes {
		err := only(first.Settle(s.ctx, []driver.Settlement{{
			Delivery: lost[i], Outcome: outcome, Failures: 9, Reason: driver.ReasonPermanent, Error: "by the holder that lost it",
		}}))
		s.is(err, want, "settle as %s what another holds", outcome)
		s.notStored(err, "settle as %s what another holds", outcome)
	}
	third := s.consume(s.open(), 1)
	s.receiveNone(third, max(s.lease()+s.lease()/2, 300*time.Millisecond), "its second holder extends it, whatever the first said")
	cancel()
	s.check(<-kept, "extend what the second holder has, after the first tried to settle it")
	for _, delivery := range held {
		s.settle(second, delivery, driver.OutcomeDone)
	}
	d := s.open()
	s.waitDepth(d, driver.Depth{})
	equal(s, len(s.deadLetters(d, 10)), 0, "dead letters by a holder that had lost the job")
}

func caseLostExtend(s *stage) {
	first, lost, second, held, want := s.lose(1)
	for range 2 {
		err := only(first.Extend(s.ctx, lost))
		s.is(err, want, "extend what another holds")
		s.notStored(err, "extend what another holds")
	}
	s.check(only(second.Extend(s.ctx, held)), "extend what is held")
	s.settle(second, held[0], driver.OutcomeDone)
	s.is(only(second.Extend(s.ctx, held)), driver.ErrLeaseLost, "extend what was settled")

	d := s.open()
	s.put(d, messages(2)...)
	c := s.consume(d, 2)
	s.check(second.Close(s.ctx), "close the consumer")
	both := s.receiveBy(s.overdue(), c, 2)
	s.settle(c, both[0], driver.OutcomeDone)
	if s.info.Limits.ExtendBatch < 2 {
		return
	}
	errs := c.Extend(s.ctx, both)
	if len(errs) != 2 || !errors.Is(errs[0], driver.ErrLeaseLost) || errs[1] != nil {
		s.failf("extend one delivery that was settled and one that is held: the errors are %s", fmt.Sprint(errs))
	}
	s.settle(c, both[1], driver.OutcomeDone)
}
