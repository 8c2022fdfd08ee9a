package conformance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var grouper = []string{"Grouper"}

var groupCases = []Case{
	{Name: "group-order", Rule: "Jobs of a group are handed out one at a time, in the order of their enqueue.", Needs: grouper, run: caseGroupOrder},
	{Name: "group-retry", Rule: "While a job of a group waits for its retry no later one of the group is handed out.", Needs: grouper, run: caseGroupRetry},
	{Name: "group-release", Rule: "A released job of a group comes before the later ones of the group.", Needs: grouper, run: caseGroupRelease},
	{Name: "group-loss", Rule: "A job of a group whose holder vanished comes before the later ones of the group.", Needs: grouper, leases: true, run: caseGroupLoss},
	{Name: "group-dead", Rule: "A group goes on when its head has died.", Needs: grouper, run: caseGroupDead},
	{Name: "group-redrive", Rule: "A redriven job goes to the end of its group, stays in it, and does not block it for ever.", Needs: grouper, run: caseGroupRedrive},
	{Name: "group-others", Rule: "Other groups, and jobs without one, go on while a group is held.", Needs: grouper, run: caseGroupOthers},
	{Name: "group-names", Rule: "Groups with similar names are different groups.", Needs: grouper, run: caseGroupNames},
	{Name: "group-delay", Rule: "A job with a group and a delay is refused.", Needs: []string{"Grouper", "Delayer"}, run: caseGroupDelay},
	{Name: "group-random", Rule: "With many groups and many workers that fail at random, each group keeps its order and no job is lost.", Needs: grouper, run: caseGroupRandom},
}

// putGroup enqueues jobs 0 to n-1 of one group, one call after the other.
func (s *stage) putGroup(d driver.Driver, n int) {
	for i := range n {
		s.put(d, grouped(name(i), "group"))
	}
}

func caseGroupOrder(s *stage) {
	const jobs = 20
	d := s.declared()
	s.putGroup(d, jobs/2)
	var batched []*driver.Message
	for i := jobs / 2; i < jobs; i++ {
		batched = append(batched, grouped(name(i), "group"))
	}
	s.put(d, batched...)
	for range 3 {
		// Long enough that another job of the group would be seen beside it.
		s.work(s.open(), func(ctx context.Context, _ *batch.Job[task]) error {
			select {
			case <-time.After(3 * time.Millisecond):
			case <-ctx.Done():
			}
			return nil
		}, concurrency(4, 4))
	}
	s.waitCount(jobs, Done)
	events := s.history.Events()
	s.check(GroupOrder(events), "judge the history")
	s.check(ExactCover(events, names(jobs)), "judge the history")
}

func caseGroupRetry(s *stage) {
	const delay = 500 * time.Millisecond
	d := s.declared()
	s.putGroup(d, 3)
	c := s.consume(d, 3)
	for i := range 3 {
		got := s.receiveOne(c)
		equal(s, got.ID, name(i), "the group's next job")
		equal(s, got.Group, "group", "its group")
		s.receiveNone(c, 50*time.Millisecond, "the one before of its group is held")
		begin, _ := s.settleRetry(c, got, delay)
		again := s.receiveBy(delay, c, 1)[0]
		equal(s, again.ID, name(i), "the group's next job after the retry of its head")
		now := s.history.Now()
		s.check(Within("the retry", begin, now, delay, now), "measure")
		equal(s, again.Failures, 1, "Failures")
		s.settle(c, again, driver.OutcomeDone)
	}
	s.waitDepth(d, driver.Depth{})
}

func caseGroupRelease(s *stage) {
	d := s.declared()
	s.putGroup(d, 3)
	c := s.consume(d, 3)
	for i := range 3 {
		s.settle(c, s.receiveOne(c), driver.OutcomeRelease)
		s.next(c, name(i), "after it was released")
	}
}

func caseGroupLoss(s *stage) {
	d := s.declared()
	s.putGroup(d, 3)
	held := s.receiveOne(s.consume(d, 3))
	equal(s, held.ID, name(0), "the group's first job")
	after := s.vanish(d)
	c := s.consume(s.open(), 3)
	got := s.receiveBy(after+s.overdue(), c, 1)[0]
	equal(s, got.ID, name(0), "the group's next job after its holder vanished")
	s.settle(c, got, driver.OutcomeDone)
	s.next(c, name(1), "after the first was done")
	s.next(c, name(2), "after the second was done")
}

func caseGroupDead(s *stage) {
	d := s.declared()
	s.putGroup(d, 3)
	c := s.consume(d, 3)
	got := s.receiveOne(c)
	equal(s, got.ID, name(0), "the group's first job")
	s.settleDead(c, got)
	s.next(c, name(1), "after the first died")
	s.next(c, name(2), "after the second was done")
	equal(s, s.waitDeadLetters(d, 1)[0].Group, "group", "the group of the dead letter")
}

func caseGroupRedrive(s *stage) {
	d := s.declared()
	s.putGroup(d, 3)
	c := s.consume(d, 3)
	s.settleDead(c, s.receiveOne(c))
	s.waitDeadLetters(d, 1)
	_, err := d.Redrive(s.ctx, s.queue, driver.Selection{All: true})
	s.check(err, "redrive")
	for i := range 3 {
		got := s.receiveOne(c)
		equal(s, got.Group, "group", "its group")
		equal(s, got.ID, name((i+1)%3), "the next of the group, whose first was redriven to its end")
		s.receiveNone(c, 50*time.Millisecond, "one of its group is held")
		s.settle(c, got, driver.OutcomeDone)
	}
	s.waitDepth(d, driver.Depth{})
}

func caseGroupOthers(s *stage) {
	d := s.declared()
	s.putGroup(d, 2)
	s.put(d, grouped("other-0", "other"), grouped("other-1", "other"), message("none-0"), message("none-1"))
	c := s.consume(d, 6)
	first := make(map[string]*driver.Delivery)
	for range 4 {
		got := s.receiveOne(c)
		first[got.ID] = got
	}
	for _, id := range []string{name(0), "other-0", "none-0", "none-1"} {
		if first[id] == nil {
			s.failf("%s was not handed out although nothing of its group was before it", id)
		}
	}
	s.receiveNone(c, 50*time.Millisecond, "one of its group is held")
	s.settle(c, first["other-0"], driver.OutcomeDone)
	s.next(c, "other-1", "after the first of its group was done")
	s.settle(c, first[name(0)], driver.OutcomeDone)
	s.next(c, name(1), "after the first of its group was done")
}

func caseGroupNames(s *stage) {
	d := s.declared()
	groups := []string{"group", "GROUP", "group.", "group*", "group>", "{group}", "group:1", "!", "~"}
	for i, group := range groups {
		s.put(d, grouped(name(i), group))
	}
	c := s.consume(d, len(groups))
	held := s.receive(c, len(groups)) // all at once
	for _, got := range held {
		s.settle(c, got, driver.OutcomeDone)
	}
}

// delayGrouper is what group-delay runs on.
type delayGrouper interface {
	batch.Grouper
	driver.Delayer
}

func caseGroupDelay(s *stage) {
	q := queueOf[delayGrouper](s, s.open())
	_, err := q.Enqueue(s.ctx, task{}, batch.Group(q, "group"), batch.Delay(q, time.Second))
	s.is(err, batch.ErrInvalid, "enqueue with a group and a delay")
	s.check(q.Declare(s.ctx), "declare")
	s.waitDepth(q.Driver(), driver.Depth{})
}

func caseGroupRandom(s *stage) {
	const groups, each, workers = 12, 15, 4
	handle := func(_ context.Context, job *batch.Job[task]) error {
		random := rand.New(rand.NewPCG(s.seed, uint64(job.Args.N*1000+job.Attempt)))
		switch random.IntN(8) {
		case 0, 1:
			return errors.New("at random")
		case 2:
			return batch.RetryAfter(time.Duration(random.IntN(20))*time.Millisecond, errors.New("at random"))
		case 3:
			return batch.Permanent(errors.New("at random"))
		case 4:
			if job.Deliveries < 3 {
				return batch.Snooze(5 * time.Millisecond)
			}
		}
		return nil
	}
	for range workers {
		s.work(s.open(), handle, concurrency(4, 4), defaultLease, retryAfter(3*time.Millisecond))
	}
	var all sync.WaitGroup
	for g := range groups {
		q := queueOf[batch.Grouper](s, s.open())
		all.Go(func() {
			group := fmt.Sprintf("group-%d", g)
			for i := range each {
				n := g*each + i
				s.history.Add(Event{Op: Enqueueing, ID: name(n), Group: group})
				if _, err := q.Enqueue(s.ctx, task{N: n}, batch.ID(q, name(n)), batch.Group(q, group)); err != nil {
					s.problem("enqueue: %v", err)
					return
				}
			}
		})
	}
	all.Wait()
	s.waitCount(groups*each, Done, Died)
	d := s.open()
	events := s.history.Events()
	s.check(GroupOrder(events), "judge the history")
	s.check(AttemptCounts(events), "judge the history")
	s.check(NoOverlap(events, 0), "judge the history")
	s.waitDepth(d, driver.Depth{Dead: int64(s.history.Count(Died))})
}
