package conformance

import (
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
)

var deadLetterCases = []Case{
	{Name: "redrive-one", Rule: "Redriving by ID moves these dead letters and no others, and tells how many.", run: caseRedriveOne},
	{Name: "redrive-all", Rule: "Redriving all dead letters makes every one run again, with its attempts counted from zero.", run: caseRedriveAll},
	{Name: "redrive-again", Rule: "A job that was redriven can fail, die and be redriven again.", run: caseRedriveAgain},
	{Name: "redrive-concurrent", Rule: "Two redrives at once move each dead letter once.", run: caseRedriveConcurrent},
	{Name: "discard-one", Rule: "Deleting dead letters by ID removes these and no others, and tells how many.", run: caseDiscardOne},
	{Name: "purge", Rule: "Deleting all dead letters removes them all, tells how many, and touches no waiting job.", run: casePurge},
	{Name: "dead-paging", Rule: "Paging through dead letters shows each once, oldest first, and consumes nothing.", run: caseDeadPaging},
	{Name: "dead-paging-removed", Rule: "A dead letter that is removed while paging does not hide others.", run: caseDeadPagingRemoved},
	{Name: "dead-not-received", Rule: "A dead letter is not handed out, however long it rests.", leases: true, run: caseDeadNotReceived},
}

// dead makes n dead letters, one after the other.
func (s *stage) dead(n int) driver.Driver {
	d := s.declared()
	c := s.consume(d, 1)
	for i := range n {
		s.put(d, message(name(i)))
		s.settleDead(c, s.receiveOne(c))
	}
	s.check(c.Close(s.ctx), "close the consumer")
	s.waitDeadLetters(d, n)
	return d
}

// deadLettersAre says how dead letters differ from those of the jobs wanted.
func deadLettersAre(got []driver.DeadLetter, want ...int) error {
	var v findings
	for i, dead := range got {
		if i < len(want) && dead.ID != name(want[i]) {
			v.add("place %d has %s, want %s", i, dead.ID, name(want[i]))
		}
	}
	if len(got) != len(want) {
		v.add("there are %d, want %d", len(got), len(want))
	}
	return v.err("dead letters")
}

func caseRedriveOne(s *stage) {
	d := s.dead(4)
	n, err := d.Redrive(s.ctx, s.queue, driver.Selection{IDs: []string{name(2), "nobody", name(0), name(2)}})
	s.check(err, "redrive two of four")
	equal(s, n, 2, "dead letters moved")
	s.check(deadLettersAre(s.waitDeadLetters(d, 2), 1, 3), "what is left of four")
	c := s.consume(d, 2)
	for _, got := range s.receive(c, 2) {
		if got.ID != name(0) && got.ID != name(2) {
			s.failf("%s was redriven, but %s and %s were asked for", got.ID, name(0), name(2))
		}
		s.settle(c, got, driver.OutcomeDone)
	}
	s.waitDepth(d, driver.Depth{Dead: 2})
}

func caseRedriveAll(s *stage) {
	const n = 30
	d := s.dead(n)
	begun := s.history.Now()
	moved, err := queueOf[driver.Driver](s, d).DeadLetters().RedriveAll(s.ctx)
	s.check(err, "redrive all")
	equal(s, moved, n, "dead letters moved")
	s.work(s.open(), nothing, concurrency(4, 4))
	s.waitCount(n, Done)
	done := 0
	for _, e := range s.history.Events() {
		if e.Op == Done && e.At > begun {
			done++
			equal(s, e.Attempt, 1, "Attempt of %s after its redrive", e.ID)
			equal(s, e.Deliveries, 1, "Deliveries of %s after its redrive", e.ID)
		}
	}
	equal(s, done, n, "jobs done after their redrive")
	s.waitDepth(d, driver.Depth{})
	equal(s, len(s.deadLetters(d, 100)), 0, "dead letters after all were redriven")
}

func caseRedriveAgain(s *stage) {
	d := s.dead(1)
	c := s.consume(d, 1)
	for round := range 3 {
		n, err := d.Redrive(s.ctx, s.queue, driver.Selection{IDs: []string{name(0)}})
		s.check(err, "redrive")
		equal(s, n, 1, "dead letters moved in round %d", round)
		got := s.receiveOne(c)
		equal(s, got.Failures, 0, "Failures in round %d", round)
		equal(s, got.Deliveries, 1, "Deliveries in round %d", round)
		s.settleRetry(c, got, 0)
		got = s.receiveOne(c)
		equal(s, got.Failures, 1, "Failures after a retry in round %d", round)
		s.settleAs(c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDead, Failures: 2, Reason: driver.ReasonAttempts, Error: fmt.Sprintf("round %d", round)})
		dead := s.waitDeadLetters(d, 1)[0]
		equal(s, dead.LastError, fmt.Sprintf("round %d", round), "LastError in round %d", round)
		equal(s, dead.Failures, 2, "Failures of the dead letter in round %d", round)
		equal(s, dead.Deliveries, 2, "Deliveries of the dead letter in round %d", round)
	}
}

func caseRedriveConcurrent(s *stage) {
	const n = 20
	d := s.dead(n)
	other := s.open()
	type result struct {
		moved int
		err   error
	}
	results := make(chan result, 2)
	for _, handle := range []driver.Driver{d, other} {
		go func() {
			moved, err := handle.Redrive(s.ctx, s.queue, driver.Selection{All: true})
			results <- result{moved, err}
		}()
	}
	moved := 0
	for range 2 {
		r := <-results
		s.check(r.err, "redrive all")
		moved += r.moved
	}
	equal(s, moved, n, "dead letters moved by both")
	s.finish(d, n)
	s.waitDepth(d, driver.Depth{})
	s.receiveNone(s.consume(d, 1), 200*time.Millisecond, "each dead letter was redriven once")
}

func caseDiscardOne(s *stage) {
	d := s.dead(3)
	n, err := queueOf[driver.Driver](s, d).DeadLetters().Delete(s.ctx, name(1), "nobody")
	s.check(err, "delete one of three")
	equal(s, n, 1, "dead letters removed")
	s.check(deadLettersAre(s.waitDeadLetters(d, 2), 0, 2), "what is left of three")
	s.receiveNone(s.consume(d, 1), 100*time.Millisecond, "it was deleted")
}

func casePurge(s *stage) {
	d := s.dead(5)
	s.put(d, message("waiting"))
	n, err := queueOf[driver.Driver](s, d).DeadLetters().Purge(s.ctx)
	s.check(err, "purge")
	equal(s, n, 5, "dead letters removed")
	s.waitDeadLetters(d, 0)
	s.waitDepth(d, driver.Depth{Waiting: 1})
	c := s.consume(d, 1)
	got := s.receiveOne(c)
	equal(s, got.ID, "waiting", "the job that was no dead letter")
	s.settle(c, got, driver.OutcomeDone)
}

func caseDeadPaging(s *stage) {
	const n = 25
	d := s.dead(n)
	for _, size := range []int{1, 7, n, 1000} {
		got := s.deadLetters(d, size)
		want := make([]int, n)
		for i := range want {
			want[i] = i
		}
		s.check(deadLettersAre(got, want...), "pages of %d", size)
	}
	for _, size := range []int{0, -1, 1001} {
		if _, _, err := queueOf[driver.Driver](s, d).DeadLetters().List(s.ctx, "", size); err == nil {
			s.failf("a page of %d was not refused", size)
		}
	}
}

func caseDeadPagingRemoved(s *stage) {
	const n = 10
	d := s.dead(n)
	seen := make(map[string]int)
	cursor := ""
	for page := 0; ; page++ {
		list, next, err := d.DeadLetters(s.ctx, s.queue, cursor, 3)
		s.check(err, "list dead letters")
		for _, dead := range list {
			seen[dead.ID]++
		}
		if page == 0 {
			// The cursor's neighbours, on both sides.
			ids := []string{list[len(list)-1].ID, name(3)}
			if _, err := d.Discard(s.ctx, s.queue, driver.Selection{IDs: ids}); err != nil {
				s.check(err, "delete while paging")
			}
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	for i := range n {
		if got := seen[name(i)]; got > 1 || got == 0 && i != 3 {
			s.failf("%s was seen %d times", name(i), got)
		}
	}
}

func caseDeadNotReceived(s *stage) {
	d := s.dead(2)
	c := s.consume(d, 2)
	s.receiveNone(c, max(s.lease()+s.lease()/2, 300*time.Millisecond), "it is a dead letter")
	s.put(d, message("alive"))
	got := s.receiveOne(c)
	equal(s, got.ID, "alive", "the job that is no dead letter")
	s.settle(c, got, driver.OutcomeDone)
	var page []driver.DeadLetter
	page, _, err := d.DeadLetters(s.ctx, s.queue, "", 10)
	s.check(errors.Join(err, deadLettersAre(page, 0, 1)), "list dead letters")
}
