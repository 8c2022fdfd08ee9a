package conformance

import (
	"context"
	"fmt"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var purger = []string{"Purger"}

var purgeCases = []Case{
	{Name: "purge-waiting", Rule: "Purge removes the waiting jobs and no others, tells how many, and consumers go on.", Needs: purger, run: casePurgeWaiting},
	{Name: "purge-many", Rule: "Purge removes every waiting job, however many, whatever its priority, and tells how many.", Needs: purger, run: casePurgeMany},
	{Name: "purge-group", Rule: "Purge removes the jobs that wait for another of their group, and the group goes on.", Needs: []string{"Purger", "Grouper"}, run: casePurgeGroup},
}

func casePurgeWaiting(s *stage) {
	d := s.declared()
	q := queueOf[batch.Purger](s, d)
	purge := func(want int) {
		n, err := batch.Purge(s.ctx, q)
		s.check(err, "purge")
		equal(s, n, want, "jobs purged")
	}
	purge(0)
	c, running := s.fill(d)
	purge(2)
	s.waitDepth(d, driver.Depth{Scheduled: 1, Running: 1, Dead: 1})
	s.check(only(c.Extend(s.ctx, []*driver.Delivery{running})), "extend the running job after a purge")
	s.settle(c, running, driver.OutcomeDone)
	s.receiveNone(c, 200*time.Millisecond, "the queue was purged")
	s.put(d, message("new"))
	s.next(c, "new", "which came after the purge, by a consumer that was open before it")
	purge(0)
	s.waitDepth(d, driver.Depth{Scheduled: 1, Dead: 1})
	n, err := d.Redrive(s.ctx, s.queue, driver.Selection{All: true})
	s.check(err, "redrive")
	equal(s, n, 1, "dead letters redriven after a purge")
	s.next(c, name(0), "which was dead")
}

func casePurgeMany(s *stage) {
	jobs := 2500 // more than a driver moves at once
	if s.harness.Servers > 1 {
		jobs = 250 // which are stored by several, while a driver moves them as it does on one
	}
	d := s.declared()
	all := messages(jobs)
	if _, ok := bare(d).(driver.Prioritizer); ok {
		for _, m := range all {
			m.Level = levels[s.random.IntN(len(levels))]
		}
	}
	var again []*driver.Message // with the keys that become free
	if _, ok := bare(d).(driver.Deduplicator); ok {
		for i := 0; i < jobs; i += jobs / 10 {
			all[i].DedupKey = fmt.Sprintf("key-%d", i)
			again = append(again, unique("again-"+name(i), all[i].DedupKey))
		}
	}
	s.put(d, all...)
	s.waitDepth(d, driver.Depth{Waiting: int64(jobs)})
	n, err := capable[batch.Purger](s, d).Purge(s.ctx, s.queue)
	s.check(err, "purge")
	equal(s, n, jobs, "jobs purged")
	s.waitDepth(d, driver.Depth{})
	c := s.consume(d, 1)
	s.receiveNone(c, 200*time.Millisecond, "the queue was purged")
	s.check(c.Close(s.ctx), "close the consumer")
	s.put(d, again...)
	s.finish(d, len(again))
}

func casePurgeGroup(s *stage) {
	d := s.declared()
	s.putGroup(d, 4)
	c := s.consume(d, 4)
	head := s.receiveOne(c)
	n, err := capable[batch.Purger](s, d).Purge(s.ctx, s.queue)
	s.check(err, "purge")
	equal(s, n, 3, "jobs purged, whose group has a running job")
	group := head.Group
	s.put(d, grouped("next", group))
	s.receiveNone(c, 200*time.Millisecond, "the head of its group is running")
	s.settle(c, head, driver.OutcomeDone)
	s.next(c, "next", "of a group that was purged")
	s.check(c.Close(s.ctx), "close the consumer, which may fetch what it is not asked for")

	s.put(d, grouped("head", group), grouped("second", group))
	n, err = capable[batch.Purger](s, d).Purge(s.ctx, s.queue)
	s.check(err, "purge")
	equal(s, n, 2, "jobs purged, all of a group")
	s.put(d, grouped("last", group))
	s.next(s.consume(d, 4), "last", "of a group that was purged with its head")
	s.waitDepth(d, driver.Depth{})
}

var queueListCases = []Case{
	{Name: "list-queues", Rule: "ListQueues names each declared queue once, sorted, from any handle, and nothing that a driver keeps beside a queue.", Needs: []string{"QueueLister"}, run: caseListQueues},
}

func caseListQueues(s *stage) {
	d := s.open()
	base := s.queue[:len(s.queue)-1]
	want := map[string]bool{}
	s.mu.Lock()
	for _, suffix := range []string{"", "-", "-dead", "-delayed", "A", "_", "a"} {
		s.queues = append(s.queues, base+suffix)
		want[base+suffix] = true
	}
	s.mu.Unlock()
	for queue := range want {
		s.check(d.Declare(s.ctx, queue), "declare %s", queue)
	}
	s.queue = base
	c, _ := s.fill(d) // so that whatever a driver makes for retries and dead letters is there
	s.check(c.Close(s.ctx), "close the consumer")
	listed := func(what string) {
		names, err := batch.ListQueues(s.ctx, capable[batch.QueueLister](s, s.open()))
		s.check(err, "list queues")
		seen := make(map[string]int)
		for i, queue := range names {
			if i > 0 && names[i-1] >= queue {
				s.failf("%q is listed after %q", queue, names[i-1])
			}
			if len(queue) >= len(base) && queue[:len(base)] == base {
				seen[queue]++
			}
		}
		for queue := range want {
			equal(s, seen[queue], 1, "how often %s is listed, %s", queue, what)
		}
		equal(s, len(seen), len(want), "queues listed whose name begins with %s, %s", base, what)
	}
	listed("at first")
	deleted := base + "-dead"
	s.check(d.DeleteQueue(s.ctx, deleted), "delete")
	delete(want, deleted)
	listed("after one was deleted")
	ended, cancel := context.WithCancel(s.ctx)
	cancel()
	_, err := capable[batch.QueueLister](s, d).ListQueues(ended)
	s.is(err, context.Canceled, "list queues with a context that has ended")
}
