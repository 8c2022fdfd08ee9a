package conformance

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/batch-go/batch/driver"
)

var partlyCases = []Case{
	{Name: "receive-each", Rule: "Each job of one Receive has its own message, history and receipt.", run: caseReceiveEach},
	{Name: "settle-each", Rule: "Each settlement of one call is carried out with its own outcome, delay, history and reason.", timed: true, run: caseSettleEach},
	{Name: "settle-partly-lost", Rule: "In one Settle, deliveries that are lost are ErrLeaseLost at their places, and the others are settled.", run: caseSettlePartlyLost},
	{Name: "settle-partly-refused", Rule: "In one Settle, a settlement out of bounds is an error at its place and has no effect, and the others are settled.", run: caseSettlePartlyRefused},
	{Name: "extend-partly-lost", Rule: "In one Extend, deliveries that are lost are ErrLeaseLost at their places, and the others are extended.", leases: true, run: caseExtendPartlyLost},
	{Name: "extend-batch", Rule: "One Extend takes ExtendBatch deliveries, and holds all of them.", leases: true, heavy: true, run: caseExtendBatch},
	{Name: "enqueue-partly-duplicate", Rule: "In one Enqueue, duplicates are reported at their places, and the others are stored.", Needs: deduplicator, run: caseEnqueuePartlyDuplicate},
}

// numbered makes n jobs that differ in all that a job may differ in.
func numbered(n int) []*driver.Message {
	all := messages(n)
	for i, m := range all {
		m.Body = fmt.Appendf(nil, `{"n":%d}`, i)
		m.Headers = map[string]string{"number": fmt.Sprint(i), fmt.Sprintf("only-%d", i): ""}
		m.MaxAttempts = i + 1
		m.Timeout = time.Duration(i+1) * time.Second
		m.EnqueuedAt = m.EnqueuedAt.Add(time.Duration(i) * time.Millisecond)
	}
	return all
}

// byID are deliveries by the numbers of their jobs.
func byID(got []*driver.Delivery) []*driver.Delivery {
	all := make([]*driver.Delivery, len(got))
	for i := range all {
		at := slices.IndexFunc(got, func(d *driver.Delivery) bool { return d.ID == name(i) })
		if at >= 0 {
			all[i] = got[at]
		}
	}
	return all
}

// receiveAll receives the jobs 0 to n-1, by their numbers.
func (s *stage) receiveAll(c driver.Consumer, n int) []*driver.Delivery {
	all := byID(s.receive(c, n))
	for i, d := range all {
		if d == nil {
			s.failf("%s was not received", name(i))
		}
	}
	return all
}

func caseReceiveEach(s *stage) {
	const jobs = 12
	d := s.declared()
	all := numbered(jobs)
	s.put(d, all...)
	c := s.consume(d, jobs)
	for i, got := range s.receiveAll(c, jobs) {
		s.check(sameMessage(&got.Message, all[i]), "received with others")
		s.settleAs(c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeRetry, Failures: i + 1, Error: fmt.Sprintf("failure %d", i)})
	}
	for i, got := range s.receiveAll(c, jobs) {
		s.check(sameMessage(&got.Message, all[i]), "received again with others")
		equal(s, got.Failures, i+1, "Failures of %s", got.ID)
		equal(s, got.LastError, fmt.Sprintf("failure %d", i), "LastError of %s", got.ID)
		equal(s, got.Deliveries, 2, "Deliveries of %s", got.ID)
		s.settle(c, got, driver.OutcomeDone)
	}
	s.waitDepth(d, driver.Depth{})
}

// settleTogether settles deliveries in as few calls as the limits allow, and returns the errors by place.
func (s *stage) settleTogether(c driver.Consumer, all ...driver.Settlement) []error {
	var errs []error
	for part := range slices.Chunk(all, s.info.Limits.SettleBatch) {
		some := c.Settle(s.ctx, part)
		if some == nil {
			some = make([]error, len(part))
		}
		if len(some) != len(part) {
			s.failf("Settle of %d returned %d errors", len(part), len(some))
		}
		errs = append(errs, some...)
	}
	return errs
}

func caseSettleEach(s *stage) {
	const jobs = 10
	reasons := []string{driver.ReasonPermanent, driver.ReasonExpired, driver.ReasonPoison, driver.ReasonUndecodable, driver.ReasonUnknownKind}
	d := s.declared()
	all := numbered(jobs)
	s.put(d, all...)
	c := s.consume(d, jobs)
	var settlements []driver.Settlement
	for i, got := range s.receiveAll(c, jobs) {
		b := someBounces(i + 1)
		one := driver.Settlement{Delivery: got, Failures: 10 + i, Error: fmt.Sprintf("error %d", i), Bounces: b.n, BouncedSince: b.since}
		if i%2 == 0 {
			one.Outcome, one.Delay = driver.OutcomeRetry, time.Duration(i/2)*250*time.Millisecond
		} else {
			one.Outcome, one.Reason = driver.OutcomeDead, reasons[i/2]
		}
		settlements = append(settlements, one)
	}
	begin := s.history.Now()
	s.check(errors.Join(s.settleTogether(c, settlements...)...), "settle %d in different ways", jobs)
	for range jobs / 2 {
		got := s.receiveBy(time.Second, c, 1)[0]
		var i int
		fmt.Sscanf(got.ID, "job-%d", &i)
		now := s.history.Now()
		s.check(Within("the retry of "+got.ID, begin, now, settlements[i].Delay, now), "measure")
		s.check(sameMessage(&got.Message, all[i]), "received again")
		equal(s, got.Failures, 10+i, "Failures of %s", got.ID)
		equal(s, got.LastError, fmt.Sprintf("error %d", i), "LastError of %s", got.ID)
		someBounces(i+1).check(s, got.Bounces, got.BouncedSince, "of %s", got.ID)
		s.settle(c, got, driver.OutcomeDone)
	}
	for _, dead := range s.waitDeadLetters(d, jobs/2) {
		var i int
		fmt.Sscanf(dead.ID, "job-%d", &i)
		s.check(sameMessage(&dead.Message, all[i]), "dead")
		equal(s, dead.Reason, settlements[i].Reason, "Reason of %s", dead.ID)
		equal(s, dead.Failures, 10+i, "Failures of %s", dead.ID)
		equal(s, dead.LastError, fmt.Sprintf("error %d", i), "LastError of %s", dead.ID)
		someBounces(i+1).check(s, dead.Bounces, dead.BouncedSince, "of %s", dead.ID)
	}
	s.waitDepth(d, driver.Depth{Dead: jobs / 2})
}

// lostPlaces are those of a batch of ten where something is wrong: the ends, neighbours, and one alone.
var lostPlaces = []int{0, 3, 4, 6, 9}

func caseSettlePartlyLost(s *stage) {
	const jobs = 10
	outcomes := []driver.Outcome{driver.OutcomeDone, driver.OutcomeRetry, driver.OutcomeDead, driver.OutcomeRelease, driver.OutcomeDone}
	d := s.declared()
	for round := range 2 {
		s.put(d, messages(jobs)...)
		c := s.consume(d, jobs)
		held := s.receiveAll(c, jobs)
		var settlements []driver.Settlement
		for i, got := range held {
			if slices.Contains(lostPlaces, i) {
				s.settle(c, got, driver.OutcomeDone)
			}
			// In the second round what is lost has the outcomes that what is held had in the first.
			outcome := outcomes[(i/2+round)%len(outcomes)]
			one := driver.Settlement{Delivery: got, Outcome: outcome, Failures: 1, Error: "failed"}
			switch outcome {
			case driver.OutcomeRetry:
				one.Delay = time.Hour
			case driver.OutcomeDead:
				one.Reason = driver.ReasonPermanent
			}
			settlements = append(settlements, one)
		}
		var want driver.Depth
		for i, err := range s.settleTogether(c, settlements...) {
			if slices.Contains(lostPlaces, i) {
				s.is(err, driver.ErrLeaseLost, "settle place %d of %d as %s, which was settled before", i, jobs, settlements[i].Outcome)
				s.notStored(err, "settle place %d of %d, which was settled before", i, jobs)
				continue
			}
			s.check(err, "settle place %d of %d as %s, beside some that are lost", i, jobs, settlements[i].Outcome)
			switch settlements[i].Outcome {
			case driver.OutcomeRetry:
				want.Scheduled++
			case driver.OutcomeDead:
				want.Dead++
			case driver.OutcomeRelease:
				want.Waiting++
			}
		}
		s.check(c.Close(s.ctx), "close the consumer")
		s.waitDepth(d, want)
		s.check(d.DeleteQueue(s.ctx, s.queue), "delete the queue")
		s.check(d.Declare(s.ctx, s.queue), "declare again")
	}
}

func caseSettlePartlyRefused(s *stage) {
	const jobs = 6
	d := s.declared()
	s.put(d, messages(jobs)...)
	c := s.consume(d, jobs)
	held := s.receiveAll(c, jobs)
	settlements := []driver.Settlement{
		{Delivery: held[0], Outcome: driver.OutcomeDone},
		{Delivery: held[1], Outcome: driver.OutcomeRetry, Delay: s.info.Limits.MaxRetryDelay + time.Hour, Failures: 1},
		{Delivery: held[2], Outcome: driver.OutcomeDone},
		{Delivery: held[3], Outcome: driver.OutcomeDead, Failures: 1, Reason: driver.ReasonPermanent},
		{Delivery: held[4], Outcome: 99},
		{Delivery: held[5], Outcome: driver.OutcomeDone},
	}
	bad := []int{1, 4}
	for i, err := range s.settleTogether(c, settlements...) {
		if !slices.Contains(bad, i) {
			s.check(err, "settle place %d, beside some that are out of bounds", i)
		} else if err == nil || errors.Is(err, driver.ErrLeaseLost) {
			s.failf("settle place %d, out of bounds: the error is %s, want one that says so", i, quoteErr(err))
		}
	}
	s.waitDeadLetters(d, 1)
	for _, i := range bad {
		s.check(only(c.Extend(s.ctx, held[i:i+1])), "extend the delivery at place %d, whose settlement was refused", i)
		s.settle(c, held[i], driver.OutcomeDone)
	}
	s.waitDepth(d, driver.Depth{Dead: 1})
}

// extendTogether extends deliveries in as few calls as the limits allow, and returns the errors by place.
func (s *stage) extendTogether(c driver.Consumer, all []*driver.Delivery) []error {
	var errs []error
	for part := range slices.Chunk(all, s.info.Limits.ExtendBatch) {
		some := c.Extend(s.ctx, part)
		if some == nil {
			some = make([]error, len(part))
		}
		if len(some) != len(part) {
			s.failf("Extend of %d returned %d errors", len(part), len(some))
		}
		errs = append(errs, some...)
	}
	return errs
}

func caseExtendPartlyLost(s *stage) {
	const jobs = 10
	d := s.declared()
	s.put(d, messages(jobs)...)
	c := s.consume(d, jobs)
	held := s.receiveAll(c, jobs)
	for _, i := range lostPlaces {
		s.settle(c, held[i], driver.OutcomeDone)
	}
	extend := func() {
		for i, err := range s.extendTogether(c, held) {
			if slices.Contains(lostPlaces, i) {
				s.is(err, driver.ErrLeaseLost, "extend place %d of %d, which was settled", i, jobs)
				s.notStored(err, "extend place %d of %d, which was settled", i, jobs)
			} else {
				s.check(err, "extend place %d of %d, beside some that were settled", i, jobs)
			}
		}
	}
	extend()
	other := s.consume(s.open(), jobs)
	for range 6 { // in all longer than a lease
		s.receiveNone(other, max(s.lease()/4, 20*time.Millisecond), "its holder extends it")
		extend()
	}
	for i, got := range held {
		if !slices.Contains(lostPlaces, i) {
			s.settle(c, got, driver.OutcomeDone)
		}
	}
	s.waitDepth(d, driver.Depth{})
}

func caseExtendBatch(s *stage) {
	d := s.declared()
	n := s.info.Limits.ExtendBatch
	s.put(d, messages(n)...)
	c := s.consume(d, n)
	held := s.receive(c, n)
	other := s.consume(s.open(), 1)
	for range 6 {
		s.check(errors.Join(c.Extend(s.ctx, held)...), "extend %d at once", n)
		s.receiveNone(other, max(s.lease()/4, 20*time.Millisecond), "its holder extends it with others")
	}
	var settlements []driver.Settlement
	for _, got := range held {
		settlements = append(settlements, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDone})
	}
	s.check(errors.Join(s.settleTogether(c, settlements...)...), "settle what was extended")
	s.waitDepth(d, driver.Depth{})
}

func caseEnqueuePartlyDuplicate(s *stage) {
	const jobs = 10
	d := s.declared()
	s.put(d, unique("stored", "taken"), unique("other", "taken!"))
	all := messages(jobs)
	of := map[int]string{0: "stored", 3: "other", 4: "stored", 6: name(2), 9: "other"}
	all[0].DedupKey, all[4].DedupKey = "taken", "taken"
	all[3].DedupKey, all[9].DedupKey = "taken!", "taken!"
	all[2].DedupKey, all[6].DedupKey = "within", "within"
	want := []string{"stored", "other"}
	place := 0
	for part := range slices.Chunk(all, s.info.Limits.EnqueueBatch) {
		results := d.Enqueue(s.ctx, s.queue, part)
		for k, m := range part {
			var r driver.Result
			if results != nil {
				r = results[k]
			}
			s.check(r.Err, "enqueue place %d", place)
			first, duplicate := of[place]
			equal(s, r.Duplicate, duplicate, "Duplicate of place %d, with the key %q", place, m.DedupKey)
			if r.DuplicateOf != "" {
				equal(s, r.DuplicateOf, first, "DuplicateOf of place %d", place)
			}
			if !duplicate {
				want = append(want, m.ID)
			}
			place++
		}
	}
	s.finish(d, len(want))
	s.check(ExactCover(s.history.Events(), want), "judge the history")
	s.waitDepth(d, driver.Depth{})
}
