package conformance

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/batch-go/batch/driver"
)

var raceCases = []Case{
	{Name: "settle-race", Rule: "Of two settlements of one delivery at the same time one is carried out, and the other is ErrLeaseLost.", run: caseSettleRace},
	{Name: "redrive-race", Rule: "A redrive and a discard at the same time move each dead letter once.", run: caseRedriveRace},
	{Name: "redrive-delete-race", Rule: "A dead letter that is deleted while a redrive goes on is found, and is gone in every state.", Needs: inspector, run: caseRedriveDeleteRace},
	{Name: "enqueue-owns", Rule: "What a caller does with its messages and settlements after a call does not change what was stored.", run: caseEnqueueOwns},
	{Name: "returns-owned", Rule: "What a call has returned belongs to the caller: a later call does not change it.", run: caseReturnsOwned},
	{Name: "lease-apart", Rule: "Consumers with different leases each have their own.", leases: true, run: caseLeaseApart},
	{Name: "deleted-waiting", Rule: "A consumer that waits while its queue is deleted and declared again gets the jobs of the new one.", run: caseDeletedWaiting},
}

func caseSettleRace(s *stage) {
	const rounds, callers = 20, 4
	d := s.declared()
	c := s.consume(d, 1)
	for round := range rounds {
		s.put(d, message(name(round)))
		got := s.receiveOne(c)
		errs := make(chan error, callers)
		for i := range callers {
			go func() {
				if i == callers-1 {
					c.Extend(s.ctx, []*driver.Delivery{got}) // which must not bring it back
				}
				errs <- only(c.Settle(s.ctx, []driver.Settlement{{Delivery: got, Outcome: driver.OutcomeDone}}))
			}()
		}
		carried := 0
		for range callers {
			if err := <-errs; err == nil {
				carried++
			} else {
				s.is(err, driver.ErrLeaseLost, "settle what another call settles")
			}
		}
		equal(s, carried, 1, "settlements of one delivery that were carried out")
	}
	s.waitDepth(d, driver.Depth{})
	s.receiveNone(c, 100*time.Millisecond, "all were settled as done")
}

func caseRedriveRace(s *stage) {
	const jobs = 60
	d := s.declared()
	s.put(d, messages(jobs)...)
	s.kill(d, jobs)
	s.waitDeadLetters(d, jobs)
	type result struct {
		n   int
		err error
	}
	redriven, discarded := make(chan result, 1), make(chan result, 1)
	other := s.open()
	go func() {
		n, err := d.Redrive(s.ctx, s.queue, driver.Selection{All: true})
		redriven <- result{n, err}
	}()
	go func() {
		n, err := other.Discard(s.ctx, s.queue, driver.Selection{All: true})
		discarded <- result{n, err}
	}()
	one, two := <-redriven, <-discarded
	s.check(one.err, "redrive")
	s.check(two.err, "discard")
	equal(s, one.n+two.n, jobs, "dead letters moved by a redrive and a discard together")
	s.waitDepth(d, driver.Depth{Waiting: int64(one.n)})
	s.finish(d, one.n)
	s.waitDepth(d, driver.Depth{})
}

func caseRedriveDeleteRace(s *stage) {
	const jobs = 20
	d := s.declared()
	s.put(d, messages(jobs)...)
	s.kill(d, jobs)
	letters := s.waitDeadLetters(d, jobs)
	redriven := make(chan error, 1)
	other := s.open()
	go func() {
		_, err := other.Redrive(s.ctx, s.queue, driver.Selection{All: true})
		redriven <- err
	}()
	for _, letter := range letters {
		s.delete(d, letter.ID)
	}
	s.check(<-redriven, "redrive")
	s.waitDepth(d, driver.Depth{})
}

func caseEnqueueOwns(s *stage) {
	const jobs = 5
	d := s.declared()
	all, want := numbered(jobs), make([]driver.Message, jobs)
	for i, m := range all {
		want[i] = *m
	}
	for part := range slices.Chunk(all, s.info.Limits.EnqueueBatch) {
		for _, r := range d.Enqueue(s.ctx, s.queue, part) {
			s.check(r.Err, "enqueue")
		}
		for i, m := range part {
			*m = driver.Message{ID: "changed", Kind: "changed", Body: []byte("changed"), ContentType: "changed", EnqueuedAt: m.EnqueuedAt.Add(time.Hour)}
			part[i] = nil
		}
	}
	c := s.consume(d, jobs)
	held := s.receiveAll(c, jobs)
	settlements := make([]driver.Settlement, 1)
	for i, got := range held {
		s.check(sameMessage(&got.Message, &want[i]), "received")
		settlements[0] = driver.Settlement{Delivery: got, Outcome: driver.OutcomeDead, Failures: i, Reason: driver.ReasonPermanent, Error: name(i)}
		s.check(only(c.Settle(s.ctx, settlements)), "settle")
		settlements[0] = driver.Settlement{}
		got.Message = driver.Message{ID: "changed"}
		got.Failures, got.LastError = 99, "changed"
	}
	for _, dead := range s.waitDeadLetters(d, jobs) {
		var i int
		if _, err := fmt.Sscanf(dead.ID, "job-%d", &i); err != nil {
			s.failf("a dead letter has the ID %q", dead.ID)
		}
		s.check(sameMessage(&dead.Message, &want[i]), "dead")
		equal(s, dead.LastError, name(i), "LastError of %s", dead.ID)
	}
}

func caseReturnsOwned(s *stage) {
	const jobs = 6
	d := s.declared()
	s.put(d, numbered(jobs)...)
	c := s.consume(d, jobs)
	most := min(jobs/2, s.info.Limits.ReceiveBatch)
	var pages [][]*driver.Delivery
	var ids []string // as they were when they were returned
	for len(ids) < jobs {
		ctx, cancel := s.soon()
		got, err := c.Receive(ctx, min(most, jobs-len(ids)))
		cancel()
		s.check(err, "receive")
		pages = append(pages, got)
		for _, one := range got {
			ids = append(ids, one.ID)
		}
	}
	same := func(what string) {
		n := 0
		for _, page := range pages {
			for _, got := range page {
				equal(s, got.ID, ids[n], "place %d of what was received, %s", n, what)
				n++
			}
		}
	}
	same("after another Receive")
	all := slices.Concat(pages...)
	for _, got := range all {
		s.settle(c, got, driver.OutcomeDone)
	}
	s.put(d, message("held"))
	held := s.receiveOne(c)
	same("after another was received")
	s.errorsOwned(c, held, all)
	s.waitDepth(d, driver.Depth{})
	if _, ok := bare(d).(driver.Deduplicator); ok && s.info.Limits.EnqueueBatch > 1 {
		s.resultsOwned(d)
	}
}

// errorsOwned looks at the errors of a call when another one has been made. One delivery
// is held, and all others were settled.
func (s *stage) errorsOwned(c driver.Consumer, held *driver.Delivery, all []*driver.Delivery) {
	settle := func(some ...*driver.Delivery) []error {
		var list []driver.Settlement
		for _, got := range some {
			list = append(list, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDone})
		}
		errs := c.Settle(s.ctx, list)
		equal(s, len(errs), len(some), "errors of a Settle of which some are lost")
		return errs
	}
	if min(s.info.Limits.SettleBatch, s.info.Limits.ExtendBatch) < 2 {
		s.settle(c, held, driver.OutcomeDone)
		return
	}
	lost := settle(all[0], all[1])
	extended := c.Extend(s.ctx, all[:2])
	c.Extend(s.ctx, []*driver.Delivery{held, all[2]})
	second := settle(held, all[2])
	s.check(second[0], "settle what is held, beside one that is lost")
	equal(s, len(extended), 2, "errors of an Extend of two that are lost")
	for i := range 2 {
		s.is(lost[i], driver.ErrLeaseLost, "the error at place %d of an earlier Settle", i)
		s.is(extended[i], driver.ErrLeaseLost, "the error at place %d of an earlier Extend", i)
	}
}

// resultsOwned looks at the results of an Enqueue when another one has been made.
func (s *stage) resultsOwned(d driver.Driver) {
	s.put(d, unique("first", "key"))
	results := d.Enqueue(s.ctx, s.queue, []*driver.Message{unique("refused", "key"), message("plain")})
	d.Enqueue(s.ctx, s.queue, []*driver.Message{message("plainer"), unique("refused", "key")})
	equal(s, len(results), 2, "results")
	equal(s, results[0].Duplicate, true, "Duplicate at place 0 of an earlier Enqueue")
	equal(s, results[1].Duplicate, false, "Duplicate at place 1 of an earlier Enqueue")
	s.finish(d, 3)
}

func caseLeaseApart(s *stage) {
	d := s.declared()
	if s.lease() == 0 {
		s.untested("where the lease is the connection, there are no two")
		return
	}
	short, long := s.lease(), min(4*s.lease(), s.info.Limits.MaxLease)
	open := func(lease time.Duration) driver.Consumer {
		c, err := s.open().Consume(s.ctx, s.queue, driver.ConsumeOptions{Lease: lease, Prefetch: 1})
		s.check(err, "open a consumer with a lease of %s", lease)
		return c
	}
	begin := s.history.Now()
	s.put(d, message("long"))
	slow := open(long)
	kept := s.receiveOne(slow)
	s.put(d, message("short"))
	s.receiveOne(open(short))
	received := s.history.Now()
	other := open(long)
	got := s.receiveBy(s.lease()+s.overdue(), other, 1)[0]
	now := s.history.Now()
	equal(s, got.ID, "short", "the job whose lease ends first")
	s.check(Within("the job of the short lease", received, now, 0, short+s.overdue()), "measure")
	s.settle(other, got, driver.OutcomeDone)
	if left := begin + long - s.history.Now() - 200*time.Millisecond; left > 0 {
		s.receiveNone(other, left, "its lease is long")
		s.check(only(slow.Extend(s.ctx, []*driver.Delivery{kept})), "extend within the long lease")
		s.settle(slow, kept, driver.OutcomeDone)
	}
}

func caseDeletedWaiting(s *stage) {
	d := s.declared()
	c := s.consume(s.open(), 1)
	arrived := s.waiting(c, 0)
	s.pass(waitsBy)
	s.check(d.DeleteQueue(s.ctx, s.queue), "delete the queue")
	s.check(d.Declare(s.ctx, s.queue), "declare again")
	s.put(d, message("new"))
	a := <-arrived
	for a.err != nil {
		// The servers of a cluster may not all know it yet.
		if !errors.Is(a.err, driver.ErrUnavailable) {
			s.is(a.err, driver.ErrNotFound, "Receive of a consumer whose queue was deleted while it waited")
		}
		arrived = s.waiting(c, 0)
		a = <-arrived
	}
	equal(s, a.got.ID, "new", "the job of the queue that was declared again")
	s.settle(c, a.got, driver.OutcomeDone)
}
