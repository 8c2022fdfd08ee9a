package conformance

import (
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var queueCases = []Case{
	{Name: "declare-again", Rule: "Declaring a queue that exists changes nothing, from any handle.", run: caseDeclareAgain},
	{Name: "declare-concurrent", Rule: "Many handles may declare one queue at once; a job that one enqueues right after is kept.", run: caseDeclareConcurrent},
	{Name: "queue-isolation", Rule: "Jobs and dead letters of one queue are not seen by another, however alike the names.", run: caseQueueIsolation},
	{Name: "queue-names", Rule: "Names of 1 to 64 bytes of [A-Za-z0-9_-] work; others are refused with ErrInvalid.", run: caseQueueNames},
	{Name: "delete-queue", Rule: "DeleteQueue removes waiting, scheduled, running and dead jobs; the queue can be used again.", run: caseDeleteQueue},
	{Name: "delete-missing", Rule: "Deleting a queue that does not exist is a no-op.", run: caseDeleteMissing},
	{Name: "enqueue-after-delete", Rule: "An enqueue on a queue that was deleted by others fails or is kept; it is never confirmed and lost.", run: caseEnqueueAfterDelete},
	{Name: "worker-after-delete", Rule: "A worker goes on when its queue was deleted and declared again.", run: caseWorkerAfterDelete},
	{Name: "depth", Rule: "Depth counts waiting, scheduled, running and dead jobs, or says Unknown.", run: caseDepth},
	{Name: "foreign-entry", Rule: "An entry that is no job becomes a dead letter with its body or is dropped, and does not block those behind it.", Needs: []string{needsForeign}, run: caseForeignEntry},
}

func caseDeclareAgain(s *stage) {
	d := s.declared()
	s.put(d, message("job"))
	s.check(d.Declare(s.ctx, s.queue), "declare again")
	other := s.declared()
	c := s.consume(other, 1)
	s.settle(c, s.receiveOne(c), driver.OutcomeDone)
}

func caseDeclareConcurrent(s *stage) {
	const handles, each = 4, 4
	failed := make(chan error, handles*each)
	var all sync.WaitGroup
	for h := range handles {
		d := s.open()
		for i := range each {
			all.Go(func() {
				if err := d.Declare(s.ctx, s.queue); err != nil {
					failed <- err
					return
				}
				m := message(name(h*each + i))
				for _, r := range d.Enqueue(s.ctx, s.queue, []*driver.Message{m}) {
					if r.Err != nil {
						failed <- r.Err
					}
				}
			})
		}
	}
	all.Wait()
	close(failed)
	for err := range failed {
		s.failf("declare and enqueue: %v", err)
	}
	s.finish(s.open(), handles*each)
	s.check(ExactCover(s.history.Events(), names(handles*each)), "judge the history")
}

func caseQueueIsolation(s *stage) {
	d := s.open()
	base := s.queue[:len(s.queue)-1]
	queues := []string{base, base + "A", base + "a", base + "-dead", base + "_dead", base + "-delayed", base + "-retry", base + "--", base + "-0"}
	s.mu.Lock()
	s.queues = append(s.queues, queues...)
	s.mu.Unlock()
	for i, queue := range queues {
		s.check(d.Declare(s.ctx, queue), "declare %s", queue)
		s.putOn(d, queue, message(name(2*i)), message(name(2*i+1)))
	}
	for i, queue := range queues {
		c := s.consumeFrom(d, queue, 2)
		for _, got := range s.receive(c, 2) {
			if got.ID != name(2*i) && got.ID != name(2*i+1) {
				s.failf("queue %s handed out %s, which was enqueued on another queue", queue, got.ID)
			}
			if got.ID == name(2*i) {
				s.settleDead(c, got)
			} else {
				s.settle(c, got, driver.OutcomeDone)
			}
		}
		s.check(c.Close(s.ctx), "close the consumer")
	}
	n, err := d.Discard(s.ctx, queues[0], driver.Selection{All: true})
	s.check(err, "purge the first queue's dead letters")
	equal(s, n, 1, "dead letters purged")
	for i, queue := range queues[1:] {
		page, _, err := d.DeadLetters(s.ctx, queue, "", 100)
		s.check(err, "list dead letters of %s", queue)
		if len(page) != 1 || page[0].ID != name(2*i+2) {
			s.failf("the dead letters of queue %s are %d, want only %s", queue, len(page), name(2*i+2))
		}
	}
}

func caseQueueNames(s *stage) {
	d := s.open()
	s.mu.Lock()
	// The longest, of all characters that are allowed.
	all := "-_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	long := s.queue[:15] + all[15:]
	s.queues = append(s.queues, long)
	s.mu.Unlock()
	equal(s, len(long), 64, "the length of the longest name")
	q, err := batch.TryNewQueue(d, long)
	s.check(err, "make a queue with a name of 64 bytes")
	_, err = q.Enqueue(s.ctx, task{})
	s.check(err, "enqueue on a queue with a name of 64 bytes")
	c := s.consumeFrom(d, long, 1)
	s.settle(c, s.receiveOne(c), driver.OutcomeDone)
	for _, bad := range []string{"", long + "x", "a b", "a.b", "a/b", "a*", "a>", "a:b", "a\n", "a\x00", "\u00e9", "{a}", "$a", "#"} {
		_, err := batch.TryNewQueue(d, bad)
		s.is(err, batch.ErrInvalid, "make a queue named %q", bad)
		_, err = batch.TryNewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: bad}}})
		s.is(err, batch.ErrInvalid, "make a worker of a queue named %q", bad)
	}
}

func caseDeleteQueue(s *stage) {
	d := s.declared()
	c, running := s.fill(d)
	s.check(s.open().DeleteQueue(s.ctx, s.queue), "delete the queue")
	err := only(c.Settle(s.ctx, []driver.Settlement{{Delivery: running, Outcome: driver.OutcomeRelease}}))
	if !errors.Is(err, driver.ErrLeaseLost) && !errors.Is(err, driver.ErrNotFound) {
		s.failf("settle a delivery of a deleted queue: the error is %s, want ErrLeaseLost", quoteErr(err))
	}
	s.check(c.Close(s.ctx), "close the consumer")
	s.check(d.Declare(s.ctx, s.queue), "declare again")
	s.waitDepth(d, driver.Depth{})
	equal(s, len(s.deadLetters(d, 10)), 0, "dead letters of a queue that was deleted and declared again")
	c = s.consume(d, 1)
	s.receiveNone(c, 200*time.Millisecond, "its queue was deleted")
	s.put(d, message("new"))
	got := s.receiveOne(c)
	equal(s, got.ID, "new", "the job received after the queue was declared again")
	s.settle(c, got, driver.OutcomeDone)
}

func caseDeleteMissing(s *stage) {
	d := s.open()
	s.check(d.DeleteQueue(s.ctx, s.newQueue()), "delete a queue that never was")
	s.check(d.Declare(s.ctx, s.queue), "declare")
	for range 2 {
		s.check(d.DeleteQueue(s.ctx, s.queue), "delete")
	}
}

func caseEnqueueAfterDelete(s *stage) {
	q := s.portable()
	enqueue(s, q, 0)
	other := s.open()
	s.check(other.DeleteQueue(s.ctx, s.queue), "delete the queue")
	var kept []string
	s.eventually("enqueueing on a queue that was deleted", func() error {
		n := s.history.Count(Enqueueing)
		if err := tryEnqueue(s, q, n); err != nil {
			return err
		}
		kept = append(kept, name(n))
		return nil
	})
	s.check(other.Declare(s.ctx, s.queue), "declare again")
	c := s.consume(other, 1)
	for _, id := range kept {
		got := s.receiveOne(c)
		equal(s, got.ID, id, "the job that was confirmed")
		s.settle(c, got, driver.OutcomeDone)
	}
}

func caseWorkerAfterDelete(s *stage) {
	q := s.portable()
	s.work(s.open(), nothing)
	enqueue(s, q, 0)
	s.waitCount(1, Done)
	s.check(s.open().DeleteQueue(s.ctx, s.queue), "delete the queue")
	s.eventually("enqueueing on a queue that was deleted", func() error { return tryEnqueue(s, q, 1) })
	s.wait("the job after the queue was deleted", func() bool {
		for _, e := range s.history.Of(name(1)) {
			if e.Op == Done {
				return true
			}
		}
		return false
	})
}

func caseDepth(s *stage) {
	d := s.declared()
	s.waitDepth(d, driver.Depth{})
	c, _ := s.fill(d)
	s.waitDepth(d, driver.Depth{Waiting: 2, Scheduled: 1, Running: 1, Dead: 1})
	s.waitDepth(s.open(), driver.Depth{Waiting: 2, Scheduled: 1, Running: 1, Dead: 1})
	s.check(c.Close(s.ctx), "close the consumer")
}

func caseForeignEntry(s *stage) {
	d := s.declared()
	body := []byte("not a job " + strings.Repeat("x", 100))
	s.check(s.harness.Foreign(s.ctx, s.queue, body), "put a foreign entry")
	s.put(d, message("job"))
	c := s.consume(d, 1)
	got := s.receiveOne(c)
	equal(s, got.ID, "job", "the job behind a foreign entry")
	s.settle(c, got, driver.OutcomeDone)
	for _, dead := range s.deadLetters(d, 10) {
		equal(s, dead.Reason, driver.ReasonUnreadable, "the reason of the foreign entry's dead letter")
		equal(s, string(dead.Body), string(body), "the body of the foreign entry's dead letter")
	}
	s.waitDepth(d, driver.Depth{Dead: int64(len(s.deadLetters(d, 10)))})
}
