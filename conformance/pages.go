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

var pagesCases = []Case{
	{Name: "dead-many", Rule: "More dead letters than a page holds are listed, redriven and removed, by their IDs and all, each once, however many pages they fill.", run: caseDeadMany},
	{Name: "dead-order", Rule: "Dead letters are listed by when they died, whatever the order of their enqueue.", run: caseDeadOrder},
	{Name: "dead-added", Rule: "Dead letters that are added or redriven while paging hide none of the others.", run: caseDeadAdded},
	{Name: "redrive-ends", Rule: "Redriving all dead letters ends although the jobs die again meanwhile.", run: caseRedriveEnds},
	{Name: "redrive-none", Rule: "A redrive and a discard of nothing that is dead move nothing, and leave jobs in other states with such IDs alone.", run: caseRedriveNone},
	{Name: "list-many", Rule: "More waiting jobs than a page holds are listed each once, and the last page has no next.", Needs: inspector, run: caseListMany},
	{Name: "list-removed", Rule: "Jobs that are deleted while paging hide none of the others.", Needs: inspector, run: caseListRemoved},
	{Name: "list-scheduled", Rule: "Scheduled jobs are listed by the time when they are due.", Needs: inspector, run: caseListScheduled},
	{Name: "find-many", Rule: "Find and Delete reach a job behind more others than a page holds.", Needs: inspector, run: caseFindMany},
}

// beyondPage is more than fits into a page of a size, and no multiple of any batch. Where a
// call takes few jobs it is less, which fills as many of the driver's own pages. So it is
// where a job is stored by several servers: the pages are the driver's, and as many.
func (s *stage) beyondPage() (many, size int) {
	switch {
	case s.harness.Servers > 1:
		return 137, 100
	case s.info.Limits.SettleBatch < 100:
		return 137, 1000
	}
	return 1037, 1000
}

// kill receives n jobs and makes each a dead letter, many at a time.
func (s *stage) kill(d driver.Driver, n int) {
	hold := min(s.info.Limits.ReceiveBatch, s.info.Limits.SettleBatch, 200)
	c := s.consume(d, hold)
	for n > 0 {
		var settlements []driver.Settlement
		for _, got := range s.receive(c, min(n, hold)) {
			settlements = append(settlements, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDead, Failures: 1, Reason: driver.ReasonAttempts, Error: "failed for good"})
		}
		s.check(errors.Join(c.Settle(s.ctx, settlements)...), "make %d dead letters", len(settlements))
		n -= len(settlements)
	}
	s.check(c.Close(s.ctx), "close the consumer")
}

// each ends the case unless the IDs are those wanted, each once, in any order.
func (s *stage) each(what string, got, want []string) {
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if slices.Equal(got, want) {
		return
	}
	missing, seen := 0, make(map[string]int)
	for _, id := range got {
		seen[id]++
	}
	for _, id := range want {
		if seen[id] == 0 {
			missing++
		}
	}
	s.failf("%s: %d, %d different, want %d, of which %d are missing", what, len(got), len(seen), len(want), missing)
}

// deadIDs are the IDs of all dead letters, in pages of a size.
func (s *stage) deadIDs(d driver.Driver, size int) []string {
	var ids []string
	for _, dead := range s.deadLetters(d, size) {
		ids = append(ids, dead.ID)
	}
	return ids
}

func caseDeadMany(s *stage) {
	many, size := s.beyondPage()
	d := s.declared()
	s.put(d, messages(many)...)
	s.kill(d, many)
	all := names(many)
	s.eventually("counting the dead letters in pages", func() error {
		if n := len(s.deadLetters(d, size)); n != many {
			return fmt.Errorf("there are %d, want %d", n, many)
		}
		return nil
	})
	for _, size := range []int{size, size * 2 / 5} {
		s.each(fmt.Sprintf("dead letters in pages of %d", size), s.deadIDs(d, size), all)
	}

	// Every third, from everywhere, in no order, with some that are nobody's.
	var third, rest []string
	for i, id := range all {
		if i%3 == 1 {
			third = append(third, id)
		} else {
			rest = append(rest, id)
		}
	}
	s.random.Shuffle(len(third), func(i, k int) { third[i], third[k] = third[k], third[i] })
	asked := append(slices.Insert(slices.Clone(third), len(third)/3, "nobody", "job", "job-"), "nobody else")
	n, err := d.Discard(s.ctx, s.queue, driver.Selection{IDs: asked})
	s.check(err, "discard %d by their IDs", len(third))
	equal(s, n, len(third), "dead letters discarded")
	s.each("dead letters that are left", s.deadIDs(d, 1000), rest)

	half := slices.Clone(rest)
	s.random.Shuffle(len(half), func(i, k int) { half[i], half[k] = half[k], half[i] })
	half, rest = half[:len(half)/2], half[len(half)/2:]
	n, err = d.Redrive(s.ctx, s.queue, driver.Selection{IDs: half})
	s.check(err, "redrive %d by their IDs", len(half))
	equal(s, n, len(half), "dead letters redriven")
	s.finish(d, len(half))
	s.each("jobs that were redriven", doneIDs(s), half)
	s.each("dead letters that are left", s.deadIDs(d, 1000), rest)
	s.waitDepth(d, driver.Depth{Dead: int64(len(rest))})

	s.put(d, messages(many)...)
	s.kill(d, many)
	n, err = d.Redrive(s.ctx, s.queue, driver.Selection{All: true})
	s.check(err, "redrive all")
	equal(s, n, many+len(rest), "dead letters redriven, all")
	s.waitDepth(d, driver.Depth{Waiting: int64(many + len(rest))})
	s.kill(d, many+len(rest))
	n, err = d.Discard(s.ctx, s.queue, driver.Selection{All: true})
	s.check(err, "discard all")
	equal(s, n, many+len(rest), "dead letters discarded, all")
	s.waitDepth(d, driver.Depth{})
	equal(s, len(s.deadLetters(d, 1000)), 0, "dead letters after all were discarded")
}

// doneIDs are the IDs of the jobs that were done, as often as they were.
func doneIDs(s *stage) []string {
	var ids []string
	for _, e := range s.history.Events() {
		if e.Op == Done {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

func caseDeadOrder(s *stage) {
	const jobs = 6
	d := s.declared()
	s.put(d, messages(jobs)...)
	c := s.consume(d, jobs)
	held := s.receiveAll(c, jobs)
	order := []int{3, 0, 5, 1, 4, 2}
	for _, i := range order {
		s.settleDead(c, held[i])
		s.pass(5 * time.Millisecond) // so that they die at different times on every clock
	}
	s.waitDeadLetters(d, jobs)
	for _, size := range []int{2, jobs} {
		s.check(deadLettersAre(s.deadLetters(d, size), order...), "pages of %d", size)
	}
}

func caseDeadAdded(s *stage) {
	const n = 12
	d := s.dead(n)
	c := s.consume(d, 1)
	seen := make(map[string]int)
	cursor := ""
	for page := 0; page < 100; page++ {
		list, next, err := d.DeadLetters(s.ctx, s.queue, cursor, 4)
		s.check(err, "list dead letters")
		for _, dead := range list {
			seen[dead.ID]++
		}
		if page == 0 {
			moved, err := d.Redrive(s.ctx, s.queue, driver.Selection{IDs: []string{name(1), name(5)}})
			s.check(err, "redrive while paging")
			equal(s, moved, 2, "dead letters moved")
			for range 2 { // they die again, behind the others
				s.settleDead(c, s.receiveOne(c))
			}
			s.put(d, message("added"))
			s.settleDead(c, s.receiveOne(c))
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	for i := range n {
		if again := i == 1 || i == 5; seen[name(i)] != 1 && !again {
			s.failf("%s was seen %d times", name(i), seen[name(i)])
		}
	}
	s.waitDeadLetters(d, n+1)
}

func caseRedriveEnds(s *stage) {
	const n = 40
	d := s.dead(n)
	for range 2 {
		s.work(s.open(), func(context.Context, *batch.Job[task]) error { return batch.Permanent(errors.New("again")) }, concurrency(4, 4))
	}
	ctx, cancel := s.soon()
	defer cancel()
	moved, err := queueOf[driver.Driver](s, d).DeadLetters().RedriveAll(ctx)
	s.check(err, "redrive all while they die again")
	if moved < n || moved > 4*n {
		s.failf("%d dead letters were moved, of %d that were there when it began", moved, n)
	}
	s.waitCount(n+moved, Died)
	s.waitDeadLetters(d, n)
}

func caseRedriveNone(s *stage) {
	d := s.declared()
	c, running := s.fill(d) // 0 is dead, 1 scheduled, 2 running, 3 and 4 wait
	for what, move := range map[string]func(context.Context, string, driver.Selection) (int, error){"redrive": d.Redrive, "discard": d.Discard} {
		n, err := move(s.ctx, s.queue, driver.Selection{IDs: []string{name(1), name(2), name(3), name(4), "", "nobody"}})
		s.check(err, "%s of jobs that are not dead", what)
		equal(s, n, 0, "jobs moved by a %s of none that is dead", what)
	}
	s.waitDepth(d, driver.Depth{Waiting: 2, Scheduled: 1, Running: 1, Dead: 1})
	s.check(only(c.Extend(s.ctx, []*driver.Delivery{running})), "extend the running job")
	s.settle(c, running, driver.OutcomeDone)
	for range 2 {
		s.settle(c, s.receiveOne(c), driver.OutcomeDone)
	}
	s.waitDepth(d, driver.Depth{Scheduled: 1, Dead: 1})
}

func caseListMany(s *stage) {
	many, size := s.beyondPage()
	d := s.declared()
	s.put(d, messages(many)...)
	s.waitDepth(d, driver.Depth{Waiting: int64(many)})
	for _, size := range []int{size, size / 3} {
		var ids []string
		for _, e := range s.list(d, driver.StateWaiting, size) {
			ids = append(ids, e.ID)
		}
		s.each(fmt.Sprintf("waiting jobs in pages of %d", size), ids, names(many))
	}
}

func caseListRemoved(s *stage) {
	const jobs = 12
	d := s.declared()
	i := capable[batch.Inspector](s, d)
	s.put(d, messages(jobs)...)
	s.waitList(d, driver.StateWaiting, names(jobs)...)
	seen := make(map[string]int)
	deleted := make(map[string]bool)
	cursor := ""
	for page := 0; page < 100; page++ {
		list, next, err := i.List(s.ctx, s.queue, driver.StateWaiting, cursor, 3)
		s.check(err, "list waiting jobs")
		for _, e := range list {
			seen[e.ID]++
		}
		if page < 2 && len(list) > 0 {
			last := list[len(list)-1].ID // where the cursor stands
			s.delete(d, last)
			deleted[last] = true
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	for _, id := range names(jobs) {
		if seen[id] != 1 {
			s.failf("%s was seen %d times, while others were deleted", id, seen[id])
		}
	}
	s.waitDepth(d, driver.Depth{Waiting: int64(jobs - len(deleted))})
}

func caseListScheduled(s *stage) {
	delays := []time.Duration{3 * time.Hour, time.Hour, 5 * time.Hour, 2 * time.Hour, 4 * time.Hour}
	order := []string{name(1), name(3), name(0), name(4), name(2)}
	d := s.declared()
	s.put(d, messages(len(delays))...)
	c := s.consume(d, len(delays))
	begin := time.Now()
	for i, got := range s.receiveAll(c, len(delays)) {
		s.settleRetry(c, got, delays[i])
	}
	s.waitList(d, driver.StateScheduled, order...)
	for k, e := range s.list(d, driver.StateScheduled, 2) {
		equal(s, e.ID, order[k], "place %d of the scheduled jobs", k)
		want := begin.Add([]time.Duration{1, 2, 3, 4, 5}[k] * time.Hour)
		if off := e.DueAt.Sub(want); off < -time.Minute || off > time.Minute {
			s.failf("%s is due at %s, want about %s", e.ID, e.DueAt, want)
		}
	}
}

func caseFindMany(s *stage) {
	many, _ := s.beyondPage()
	d := s.declared()
	i := capable[batch.Inspector](s, d)
	s.put(d, messages(many)...)
	s.waitDepth(d, driver.Depth{Waiting: int64(many)})
	for _, id := range []string{name(many - 1), name(0), name(many * 29 / 30)} {
		e, err := i.Find(s.ctx, s.queue, id)
		s.check(err, "find %s of %d", id, many)
		equal(s, e.ID, id, "the job that was found")
		s.check(i.Delete(s.ctx, s.queue, id), "delete %s of %d", id, many)
	}
	s.waitDepth(d, driver.Depth{Waiting: int64(many - 3)})
}
