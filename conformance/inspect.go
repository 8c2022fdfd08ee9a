package conformance

import (
	"fmt"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var inspector = []string{"Inspector"}

var inspectCases = []Case{
	{Name: "list-states", Rule: "List shows waiting, scheduled and dead jobs by their state, and none that is running.", Needs: inspector, run: caseListStates},
	{Name: "list-entry", Rule: "An entry has all of the message and of its history.", Needs: inspector, run: caseListEntry},
	{Name: "list-paging", Rule: "Paging shows every job once, whatever the page's size.", Needs: inspector, run: caseListPaging},
	{Name: "list-consumes-nothing", Rule: "Looking at jobs changes nothing: they are handed out as if nobody had looked.", Needs: inspector, run: caseListConsumesNothing},
	{Name: "find", Rule: "Find shows a job by its ID in every state but running, else it is ErrNotFound.", Needs: inspector, run: caseFind},
	{Name: "delete", Rule: "Delete removes one waiting, scheduled or dead job and no other; a running one is ErrNotFound and runs on.", Needs: inspector, run: caseDelete},
	{Name: "delete-group", Rule: "A deleted job of a group lets the group go on.", Needs: []string{"Inspector", "Grouper"}, run: caseDeleteGroup},
	{Name: "list-priority", Rule: "Waiting jobs are listed in the order in which they are handed out.", Needs: []string{"Inspector", "Prioritizer"}, run: caseListPriority},
}

// list reads all jobs in a state, in pages.
func (s *stage) list(d driver.Driver, state driver.State, size int) []driver.Entry {
	i := capable[batch.Inspector](s, d)
	var all []driver.Entry
	cursor := ""
	for {
		page, next, err := i.List(s.ctx, s.queue, state, cursor, size)
		s.check(err, "list %s jobs", state)
		if len(page) > size {
			s.failf("a page of at most %d has %d", size, len(page))
		}
		all = append(all, page...)
		if next == "" {
			return all
		}
		if next == cursor {
			s.failf("the cursor %q of %s jobs leads to itself", next, state)
		}
		cursor = next
	}
}

// waitList waits until a state has these jobs, in any order.
func (s *stage) waitList(d driver.Driver, state driver.State, want ...string) []driver.Entry {
	var all []driver.Entry
	s.eventually(fmt.Sprintf("listing %s jobs", state), func() error {
		all = s.list(d, state, 100)
		seen := make(map[string]int)
		for _, e := range all {
			seen[e.ID]++
		}
		for _, id := range want {
			if seen[id] != 1 {
				return fmt.Errorf("%s is listed %d times", id, seen[id])
			}
		}
		if len(all) != len(want) {
			return fmt.Errorf("there are %d, want %d", len(all), len(want))
		}
		return nil
	})
	return all
}

func caseListStates(s *stage) {
	d := s.declared()
	c, running := s.fill(d)
	s.waitList(d, driver.StateWaiting, name(3), name(4))
	s.waitList(d, driver.StateScheduled, name(1))
	s.waitList(d, driver.StateDead, name(0))
	s.check(only(c.Extend(s.ctx, []*driver.Delivery{running})), "extend the running job")
	s.settle(c, running, driver.OutcomeDone)
}

func caseListEntry(s *stage) {
	d := s.declared()
	m := full("full")
	s.withCapabilities(d, m)
	s.put(d, m)
	same := func(e driver.Entry, state driver.State, failures, deliveries int, text string) {
		s.check(sameMessage(&e.Message, m), "listed as %s", state)
		equal(s, e.State, state, "State")
		equal(s, e.Failures, failures, "Failures of the %s job", state)
		equal(s, e.Deliveries, deliveries, "Deliveries of the %s job", state)
		equal(s, e.LastError, text, "LastError of the %s job", state)
	}
	same(s.waitList(d, driver.StateWaiting, m.ID)[0], driver.StateWaiting, 0, 0, "")
	c := s.consume(d, 1)
	s.settleRetry(c, s.receiveOne(c), 0)
	got := s.receiveOne(c)
	before := time.Now()
	s.settleRetry(c, got, time.Hour)
	e := s.waitList(d, driver.StateScheduled, m.ID)[0]
	same(e, driver.StateScheduled, 2, 2, "failed")
	if off := e.DueAt.Sub(before) - time.Hour; off < -time.Minute || off > time.Minute {
		s.failf("DueAt is %s, want about an hour after %s", e.DueAt, before)
	}
	find, err := capable[batch.Inspector](s, d).Find(s.ctx, s.queue, m.ID)
	s.check(err, "find")
	same(find, driver.StateScheduled, 2, 2, "failed")

	dead := message("dead")
	s.put(d, dead)
	s.settleDead(c, s.receiveOne(c))
	e = s.waitList(d, driver.StateDead, "dead")[0]
	s.check(sameMessage(&e.Message, dead), "listed as dead")
	equal(s, e.Reason, driver.ReasonAttempts, "Reason")
	equal(s, e.LastError, "failed for good", "LastError")
}

func caseListPaging(s *stage) {
	const jobs = 25
	d := s.declared()
	s.put(d, messages(jobs)...)
	s.check(s.paged(d, driver.StateWaiting, names(jobs)), "waiting jobs")
	c := s.consume(d, jobs)
	for _, got := range s.receive(c, jobs) {
		s.settleRetry(c, got, time.Hour)
	}
	s.check(s.paged(d, driver.StateScheduled, names(jobs)), "scheduled jobs")
}

// paged says whether pages of some sizes do not show each job once.
func (s *stage) paged(d driver.Driver, state driver.State, want []string) error {
	s.waitList(d, state, want...)
	for _, size := range []int{1, 7, len(want), 1000} {
		seen := make(map[string]int)
		for _, e := range s.list(d, state, size) {
			seen[e.ID]++
		}
		for _, id := range want {
			if seen[id] != 1 {
				return fmt.Errorf("in pages of %d, %s is seen %d times", size, id, seen[id])
			}
		}
		if len(seen) != len(want) {
			return fmt.Errorf("in pages of %d, %d are seen", size, len(seen))
		}
	}
	return nil
}

func caseListConsumesNothing(s *stage) {
	const jobs = 5
	d := s.declared()
	s.put(d, messages(jobs)...)
	other := s.open()
	for range 3 {
		s.waitList(other, driver.StateWaiting, names(jobs)...)
	}
	s.check(other.Close(s.ctx), "close the handle that looked")
	s.waitDepth(d, driver.Depth{Waiting: jobs})
	c := s.consume(d, jobs)
	for _, got := range s.receive(c, jobs) {
		equal(s, got.Deliveries, 1, "Deliveries of a job that was looked at")
		s.settle(c, got, driver.OutcomeDone)
	}
}

func caseFind(s *stage) {
	d := s.declared()
	i := capable[batch.Inspector](s, d)
	_, running := s.fill(d)
	for id, state := range map[string]driver.State{
		name(0): driver.StateDead, name(1): driver.StateScheduled, name(3): driver.StateWaiting, name(4): driver.StateWaiting,
	} {
		e, err := i.Find(s.ctx, s.queue, id)
		s.check(err, "find %s", id)
		equal(s, e.ID, id, "the ID of what was found")
		equal(s, e.State, state, "State of %s", id)
	}
	for _, id := range []string{running.ID, "nobody"} {
		_, err := i.Find(s.ctx, s.queue, id)
		s.is(err, driver.ErrNotFound, "find %s", id)
	}
}

func caseDelete(s *stage) {
	d := s.declared()
	i := capable[batch.Inspector](s, d)
	c, running := s.fill(d)
	for _, id := range []string{name(0), name(1), name(3)} {
		s.check(i.Delete(s.ctx, s.queue, id), "delete %s", id)
		s.is(i.Delete(s.ctx, s.queue, id), driver.ErrNotFound, "delete %s again", id)
		_, err := i.Find(s.ctx, s.queue, id)
		s.is(err, driver.ErrNotFound, "find %s after it was deleted", id)
	}
	s.is(i.Delete(s.ctx, s.queue, running.ID), driver.ErrNotFound, "delete a running job")
	s.check(only(c.Extend(s.ctx, []*driver.Delivery{running})), "extend the running job")
	s.waitDepth(d, driver.Depth{Waiting: 1, Running: 1})
	s.settle(c, running, driver.OutcomeDone)
	s.next(c, name(4), "which was not deleted")
	s.waitDepth(d, driver.Depth{})
}

func caseDeleteGroup(s *stage) {
	d := s.declared()
	i := capable[batch.Inspector](s, d)
	s.putGroup(d, 4)
	c := s.consume(d, 4)
	head := s.receiveOne(c)
	s.check(i.Delete(s.ctx, s.queue, name(1)), "delete the second of a group")
	s.settleRetry(c, head, time.Hour)
	s.check(i.Delete(s.ctx, s.queue, name(0)), "delete the head of a group, which waits for its retry")
	s.next(c, name(2), "after those before it were deleted")
	s.next(c, name(3), "after the one before was done")
	s.waitDepth(d, driver.Depth{})
}

func caseListPriority(s *stage) {
	d := s.declared()
	for n := range 20 {
		s.put(d, level(name(n), levels[s.random.IntN(len(levels))]))
	}
	var order []string
	for _, e := range s.waitList(d, driver.StateWaiting, names(20)...) {
		order = append(order, e.ID)
	}
	c := s.consume(d, 1)
	for _, id := range order {
		s.next(c, id, "by the list of waiting jobs")
	}
}
