package conformance

import (
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var dedupKeyCases = []Case{
	{Name: "dedup-within", Rule: "A key with a window of its own is free after that, and the others stay taken for the driver's window.", Needs: deduplicator, timed: true, run: caseDedupWithin},
	{Name: "dedup-discard", Rule: "Discarding a dead letter frees its key, but not one that another job took meanwhile.", Needs: deduplicator, run: func(s *stage) { s.freesKey(removeDead) }},
	{Name: "dedup-delete", Rule: "Deleting a job that waits frees its key, but not one that another job took meanwhile.", Needs: []string{"Deduplicator", "Inspector"}, run: func(s *stage) { s.freesKey(removeWaiting) }},
	{Name: "dedup-delete-scheduled", Rule: "Deleting a job that is scheduled frees its key, but not one that another job took meanwhile.", Needs: []string{"Deduplicator", "Inspector"}, run: func(s *stage) { s.freesKey(removeScheduled) }},
	{Name: "dedup-delete-dead", Rule: "Deleting a job that is dead frees its key, but not one that another job took meanwhile.", Needs: []string{"Deduplicator", "Inspector"}, run: func(s *stage) { s.freesKey(deleteDead) }},
	{Name: "dedup-purge", Rule: "A purge frees the keys of the jobs that it removes, but not one that another job took meanwhile.", Needs: []string{"Deduplicator", "Purger"}, run: func(s *stage) { s.freesKey(purgeWaiting) }},
	{Name: "dedup-delete-queue", Rule: "Deleting the queue frees all keys.", Needs: deduplicator, run: caseDedupDeleteQueue},
}

// removal is a way to remove a job that has not run to its end. The job is handed out,
// and nothing else waits in the queue.
type removal func(s *stage, d driver.Driver, c driver.Consumer, got *driver.Delivery)

// removeDead makes the job a dead letter and discards it.
func removeDead(s *stage, d driver.Driver, c driver.Consumer, got *driver.Delivery) {
	s.settleDead(c, got)
	s.waitDeadLetters(d, 1)
	n, err := d.Discard(s.ctx, s.queue, driver.Selection{IDs: []string{got.ID}})
	s.check(err, "discard")
	equal(s, n, 1, "dead letters discarded")
}

// deleteDead makes the job a dead letter and deletes it.
func deleteDead(s *stage, d driver.Driver, c driver.Consumer, got *driver.Delivery) {
	s.settleDead(c, got)
	s.waitDeadLetters(d, 1)
	s.delete(d, got.ID)
}

// removeWaiting makes the job wait and deletes it.
func removeWaiting(s *stage, d driver.Driver, c driver.Consumer, got *driver.Delivery) {
	s.settle(c, got, driver.OutcomeRelease)
	s.waitList(d, driver.StateWaiting, got.ID)
	s.delete(d, got.ID)
}

// removeScheduled holds the job back and deletes it.
func removeScheduled(s *stage, d driver.Driver, c driver.Consumer, got *driver.Delivery) {
	s.settleRetry(c, got, time.Hour)
	s.waitList(d, driver.StateScheduled, got.ID)
	s.delete(d, got.ID)
}

// purgeWaiting makes the job wait and purges the queue.
func purgeWaiting(s *stage, d driver.Driver, c driver.Consumer, got *driver.Delivery) {
	s.settle(c, got, driver.OutcomeRelease)
	n, err := capable[batch.Purger](s, d).Purge(s.ctx, s.queue)
	s.check(err, "purge")
	equal(s, n, 1, "jobs purged")
}

// delete deletes a job.
func (s *stage) delete(d driver.Driver, id string) {
	s.check(capable[batch.Inspector](s, d).Delete(s.ctx, s.queue, id), "delete %s", id)
}

// shortestWindow is the shortest that a message may ask for.
const shortestWindow = time.Second

// brief is a message with a key that is remembered for the shortest time.
func brief(id, key string) *driver.Message {
	m := unique(id, key)
	m.DedupWithin = shortestWindow
	return m
}

// freesKey removes a job with a key, and then one whose key is another's by now.
func (s *stage) freesKey(remove removal) {
	d := s.declared()
	c := s.consume(d, 1)
	s.put(d, unique("first", "key"), unique("other", "other-key"))
	s.settle(c, s.receiveID(c, "other"), driver.OutcomeDone)
	s.wantDuplicate(d, unique("refused", "key"), "first")
	remove(s, d, c, s.receiveOne(c))
	s.wantDuplicate(d, unique("refused", "other-key"), "other")

	s.put(d, brief("second", "key"))
	second := s.receiveOne(c)
	equal(s, second.ID, "second", "the job whose key was freed")
	s.pass(shortestWindow)
	s.eventually("taking the key of a job whose window is over", func() error { return stores(s, d, unique("third", "key")) })
	holder := s.consume(s.open(), 1)
	third := s.receiveOne(holder)
	equal(s, third.ID, "third", "the job that took the key of another")
	remove(s, d, c, second)
	s.wantDuplicate(d, unique("refused", "key"), "third")
	s.settle(holder, third, driver.OutcomeDone)
	s.wantDuplicate(d, unique("refused", "key"), "third")
	s.waitDepth(d, driver.Depth{})
}

// receiveID receives one of two jobs, and releases the one that is not wanted.
func (s *stage) receiveID(c driver.Consumer, id string) *driver.Delivery {
	for {
		got := s.receiveOne(c)
		if got.ID == id {
			return got
		}
		s.settleRetry(c, got, 50*time.Millisecond)
	}
}

func caseDedupWithin(s *stage) {
	d := s.declared()
	window := capable[batch.Deduplicator](s, d).DedupWindow()
	begin := s.history.Now()
	s.put(d, brief("brief", "key"), unique("default", "other"))
	longest := unique("longest", "third")
	longest.DedupWithin = window
	s.put(d, longest)
	stored := s.history.Now()
	err := stores(s, d, unique("refused", "key"))
	if now := s.history.Now(); err == nil && now-begin < shortestWindow {
		s.failf("a key was free after %s, before its window of %s was over", now-begin, shortestWindow)
	}
	if err != nil {
		s.pass(shortestWindow)
		s.eventually("taking a key whose own window is over", func() error { return stores(s, d, unique("next", "key")) })
		s.check(Within("the end of a key's own window", stored, s.history.Now(), 0, shortestWindow+s.lateness()), "measure")
	}
	for key, of := range map[string]string{"other": "default", "third": "longest"} {
		if err := stores(s, d, unique("again", key)); err == nil && s.history.Now()-begin < window {
			s.failf("the key of the job %s was free after %s, before the driver's window of %s was over", of, s.history.Now()-begin, window)
		}
	}
}

func caseDedupDeleteQueue(s *stage) {
	d := s.declared()
	s.put(d, unique("waiting", "one"), unique("done", "two"))
	c := s.consume(d, 1)
	s.settle(c, s.receiveID(c, "done"), driver.OutcomeDone)
	s.check(c.Close(s.ctx), "close the consumer")
	s.check(s.open().DeleteQueue(s.ctx, s.queue), "delete the queue")
	s.check(d.Declare(s.ctx, s.queue), "declare again")
	s.put(d, unique("first", "one"), unique("second", "two"))
	s.waitDepth(d, driver.Depth{Waiting: 2})
}
