package conformance

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var midwayCases = []Case{
	{Name: "midway-enqueue", Rule: "An Enqueue of many whose context ends in the middle tells the fate of each: confirmed ones are there once, and those not stored are not.", run: caseMidwayEnqueue},
	{Name: "midway-settle", Rule: "A Settle whose context ends in the middle loses no job: what was confirmed is so, and all else is still there, twice at most and only if its fate is unknown.", leases: true, run: caseMidwaySettle},
	{Name: "midway-redrive", Rule: "A Redrive whose context ends in the middle loses no dead letter, counts what it moved, and leaves the queue usable.", run: caseMidwayRedrive},
	{Name: "delay-overflow", Rule: "Retries after weeks and months are not early because a number is too small for them.", run: caseDelayOverflow},
	{Name: "import-partly", Rule: "In one Import, an entry out of bounds is an error at its place, and the others are stored.", Needs: importer, run: caseImportPartly},
}

// midway is a context that ends after a random part of a millisecond or some.
func (s *stage) midway() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(s.ctx)
	timer := time.AfterFunc(time.Duration(s.random.Int64N(int64(3*time.Millisecond))), cancel)
	return ctx, func() { timer.Stop(); cancel() }
}

func caseMidwayEnqueue(s *stage) {
	const rounds = 30
	each := min(s.info.Limits.EnqueueBatch, 20)
	d := s.declared()
	must, may := make(map[string]bool), make(map[string]bool)
	for round := range rounds {
		var all []*driver.Message
		for i := range each {
			all = append(all, message(name(round*each+i)))
		}
		ctx, cancel := s.midway()
		results := d.Enqueue(ctx, s.queue, all)
		cancel()
		for i, m := range all {
			switch {
			case results == nil || results[i].Err == nil:
				must[m.ID] = true
			case driver.FateOf(results[i].Err) == driver.FateUnknown:
				may[m.ID] = true
			}
		}
	}
	s.put(d, message("last"))
	must["last"] = true
	s.checkout(s.open(), must, may, nil)
}

// checkout receives all that waits and settles it as done, and ends the case unless that is
// what must be there, and of the rest only what may: once each, or two times if twice says so.
func (s *stage) checkout(d driver.Driver, must, may, twice map[string]bool) {
	hold := min(s.info.Limits.ReceiveBatch, s.info.Limits.SettleBatch, 50)
	c := s.consume(d, hold)
	seen := make(map[string]int)
	missing := len(must)
	for missing > 0 {
		ctx, cancel := s.by(s.lease() + s.overdue())
		all, err := c.Receive(ctx, hold)
		cancel()
		s.check(err, "receive with %d missing", missing)
		var settlements []driver.Settlement // at once: one by one takes longer than a short lease, on a busy machine
		for _, got := range all {
			if !must[got.ID] && !may[got.ID] {
				s.failf("%s is there, which is certainly not stored", got.ID)
			}
			if seen[got.ID]++; seen[got.ID] == 1 && must[got.ID] {
				missing--
			}
			settlements = append(settlements, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDone})
		}
		s.check(errors.Join(c.Settle(s.ctx, settlements)...), "settle %d jobs", len(settlements))
	}
	for id, n := range seen {
		if n > 2 || n == 2 && !twice[id] {
			s.failf("%s is there %d times", id, n)
		}
	}
}

// eachOutcome settles up to four deliveries in different ways.
func eachOutcome(part []*driver.Delivery) []driver.Settlement {
	var all []driver.Settlement
	for i, got := range part {
		one := driver.Settlement{Delivery: got, Outcome: driver.OutcomeRetry, Failures: 1, Error: "failed"}
		switch i {
		case 1:
			one.Outcome, one.Reason = driver.OutcomeDead, driver.ReasonPermanent
		case 2:
			one.Outcome = driver.OutcomeDone
		case 3:
			one.Delay = 50 * time.Millisecond
		}
		all = append(all, one)
	}
	return all
}

func caseMidwaySettle(s *stage) {
	const jobs = 60
	d := s.declared()
	s.put(d, messages(jobs)...)
	c := s.consume(d, jobs)
	held := s.receiveAll(c, jobs)
	gone, dead := make(map[string]bool), make(map[string]bool)
	unsure := make(map[string]bool)
	twice := make(map[string]bool) // a retry may be stored, and what it is for is still held
	for part := range slices.Chunk(held, min(4, s.info.Limits.SettleBatch)) {
		all := eachOutcome(part)
		ctx, cancel := s.midway()
		errs := c.Settle(ctx, all)
		cancel()
		for i, one := range all {
			id := one.Delivery.ID
			switch failed := errs != nil && errs[i] != nil; {
			case failed:
				unsure[id] = one.Outcome != driver.OutcomeRetry
				twice[id] = !unsure[id] && driver.FateOf(errs[i]) == driver.FateUnknown
			case one.Outcome == driver.OutcomeDone:
				gone[id] = true
			case one.Outcome == driver.OutcomeDead:
				dead[id] = true
			}
		}
	}
	s.vanish(d) // what is still held comes back
	other := s.open()
	must, may := make(map[string]bool), make(map[string]bool)
	for _, id := range names(jobs) {
		switch sure := !unsure[id]; {
		case gone[id] || dead[id]:
		case sure:
			must[id] = true
		default:
			may[id] = true
		}
	}
	s.checkout(other, must, may, twice)
	for id := range dead {
		s.eventually("looking for the dead letter "+id, func() error {
			if !slices.Contains(s.deadIDs(other, 100), id) {
				return errors.New("it is not there")
			}
			return nil
		})
	}
}

func caseMidwayRedrive(s *stage) {
	const jobs = 120
	d := s.declared()
	s.put(d, messages(jobs)...)
	s.kill(d, jobs)
	s.waitDeadLetters(d, jobs)
	counted := 0
	for range 6 {
		ctx, cancel := s.midway()
		n, err := d.Redrive(ctx, s.queue, driver.Selection{All: true})
		cancel()
		if err != nil && !errors.Is(err, context.Canceled) {
			s.failf("a redrive whose context ended: %v", err)
		}
		counted += n
		_, _, err = d.DeadLetters(s.ctx, s.queue, "", 1)
		s.check(err, "list dead letters after a redrive whose context ended")
	}
	if counted > jobs {
		s.failf("%d dead letters were moved, of %d", counted, jobs)
	}
	_, err := s.open().Redrive(s.ctx, s.queue, driver.Selection{All: true})
	s.check(err, "redrive what is left, from another handle")
	s.waitDeadLetters(d, 0)
	seen := make(map[string]bool)
	c := s.consume(d, 50)
	for len(seen) < jobs {
		for _, got := range s.receive(c, 1) { // one that was stored and not removed may be there twice
			seen[got.ID] = true
			s.settle(c, got, driver.OutcomeDone)
		}
	}
}

func caseDelayOverflow(s *stage) {
	const day = 24 * time.Hour
	most := s.info.Limits.MaxRetryDelay
	var delays []time.Duration
	for _, delay := range []time.Duration{3 * time.Hour, 25 * day, 36 * day, 50 * day, 90 * day, 100 * day, 200 * day} {
		if delay <= most { // some are over 2^31 and 2^32 of milliseconds
			delays = append(delays, delay)
		}
	}
	d := s.declared()
	s.put(d, messages(len(delays))...)
	c := s.consume(d, len(delays))
	for i, got := range s.receiveAll(c, len(delays)) {
		s.settleRetry(c, got, delays[i])
	}
	s.waitDepth(d, driver.Depth{Scheduled: int64(len(delays))})
	s.receiveNone(c, 1500*time.Millisecond, "its retry is hours to months away")
}

func caseImportPartly(s *stage) {
	const n = 7
	d := s.declared()
	i := capable[batch.Importer](s, d)
	var all []*driver.Entry
	for k := range n {
		all = append(all, entry(name(k), driver.StateWaiting))
	}
	all[2].State = 99
	all[3] = entry(name(3), driver.StateDead)
	all[5].Delay = time.Hour // of a waiting job
	bad := []int{2, 5}
	place := 0
	for part := range slices.Chunk(all, s.info.Limits.EnqueueBatch) {
		results := i.Import(s.ctx, s.queue, part)
		for k := range part {
			var err error
			if results != nil {
				err = results[k].Err
			}
			if !slices.Contains(bad, place) {
				s.check(err, "import place %d, beside some that are out of bounds", place)
			} else if err == nil || driver.FateOf(err) != driver.FateNotStored {
				s.failf("import place %d, which is out of bounds: the error is %s, want one with FateNotStored", place, quoteErr(err))
			}
			place++
		}
	}
	s.waitDepth(d, driver.Depth{Waiting: n - 3, Dead: 1})
	s.finish(d, n-3)
}
