package conformance

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var deduplicator = []string{"Deduplicator"}

var dedupCases = []Case{
	{Name: "dedup", Rule: "A second job with a key that is taken is reported as a duplicate and not stored.", Needs: deduplicator, run: caseDedup},
	{Name: "dedup-within-call", Rule: "Of two jobs with one key in one call the first is stored and the second is a duplicate.", Needs: deduplicator, run: caseDedupWithinCall},
	{Name: "dedup-after-done", Rule: "A key stays taken after its job has run.", Needs: deduplicator, run: caseDedupAfterDone},
	{Name: "dedup-after-dead", Rule: "A key stays taken after its job has died.", Needs: deduplicator, run: caseDedupAfterDead},
	{Name: "dedup-redrive", Rule: "A job is no duplicate of itself: retry, release and redrive of a job with a key work.", Needs: deduplicator, run: caseDedupRedrive},
	{Name: "dedup-queues", Rule: "Keys of different queues are independent.", Needs: deduplicator, run: caseDedupQueues},
	{Name: "dedup-keys", Rule: "Keys that differ are different, however alike, and an empty key is none.", Needs: deduplicator, run: caseDedupKeys},
	{Name: "dedup-concurrent", Rule: "Of many concurrent enqueues with one key, from many handles, exactly one is stored.", Needs: deduplicator, run: caseDedupConcurrent},
	{Name: "dedup-window", Rule: "A key is free again after its window.", Needs: deduplicator, timed: true, run: caseDedupWindow},
}

// wantDuplicate ends the case unless an enqueue is reported as a duplicate of a
// job, whose ID the broker may keep to itself.
func (s *stage) wantDuplicate(d driver.Driver, m *driver.Message, of string) {
	var r driver.Result
	if results := d.Enqueue(s.ctx, s.queue, []*driver.Message{m}); len(results) > 0 { // none says that all are stored
		r = results[0]
	}
	s.check(r.Err, "enqueue a duplicate")
	if !r.Duplicate {
		s.inWindow(d, of)
		s.failf("%s was stored although its key %q was taken by %s", m.ID, m.DedupKey, of)
	}
	if r.DuplicateOf != "" {
		equal(s, r.DuplicateOf, of, "DuplicateOf")
	}
}

// inWindow ends the case, as one that could not judge, if the window of a key is over by
// now: since the last enqueue of the job that took it began.
func (s *stage) inWindow(d driver.Driver, id string) {
	window := capable[batch.Deduplicator](s, d).DedupWindow()
	for _, e := range slices.Backward(s.history.Of(id)) {
		if e.Op != Enqueueing {
			continue
		}
		if took := s.history.Now() - e.At; took >= window {
			s.slow("the window of %s was over after %s", window, took)
		}
		return
	}
}

// stores is nil if a message is stored, else why not.
func stores(s *stage, d driver.Driver, m *driver.Message) error {
	s.history.Add(Event{Op: Enqueueing, ID: m.ID, Level: m.Level, Group: m.Group}) // inWindow looks for it
	for _, r := range d.Enqueue(s.ctx, s.queue, []*driver.Message{m}) {
		if r.Err != nil {
			return r.Err
		}
		if r.Duplicate {
			return errors.New("it is a duplicate")
		}
	}
	return nil
}

func caseDedup(s *stage) {
	q := queueOf[batch.Deduplicator](s, s.open())
	enqueue(s, q, 0, batch.Unique(q, "key"))
	other := queueOf[batch.Deduplicator](s, s.open())
	for n := 1; n < 4; n++ {
		receipt, err := other.Enqueue(s.ctx, task{N: n}, batch.ID(other, name(n)), batch.Unique(other, "key"))
		s.check(err, "enqueue a duplicate")
		if !receipt.Duplicate {
			s.inWindow(q.Driver(), name(0))
			s.failf("job %d was stored although its key was taken", n)
		}
		if receipt.ID != "" {
			equal(s, receipt.ID, name(0), "the ID of a duplicate's receipt")
		}
	}
	s.waitDepth(q.Driver(), driver.Depth{Waiting: 1})
	enqueue(s, q, 9)
	s.work(s.open(), nothing)
	s.waitCount(2, Done)
	s.waitDepth(q.Driver(), driver.Depth{})
	s.check(ExactCover(s.history.Events(), []string{name(0), name(9)}), "judge the history")
}

func caseDedupWithinCall(s *stage) {
	d := s.declared()
	if s.info.Limits.EnqueueBatch < 3 {
		s.put(d, unique("first", "key"))
		s.wantDuplicate(d, unique("second", "key"), "first")
		return
	}
	results := d.Enqueue(s.ctx, s.queue, []*driver.Message{unique("first", "key"), unique("second", "key"), unique("third", "other")})
	if len(results) != 3 {
		s.failf("Enqueue of 3 with a duplicate returned %d results", len(results))
	}
	for i, want := range []bool{false, true, false} {
		s.check(results[i].Err, "message %d", i)
		equal(s, results[i].Duplicate, want, "Duplicate of message %d", i)
	}
	s.finish(d, 2)
	s.check(ExactCover(s.history.Events(), []string{"first", "third"}), "judge the history")
	s.waitDepth(d, driver.Depth{})
}

func caseDedupAfterDone(s *stage) {
	d := s.declared()
	s.put(d, unique("first", "key"))
	c := s.consume(d, 1)
	s.settle(c, s.receiveOne(c), driver.OutcomeDone)
	s.waitDepth(d, driver.Depth{})
	s.wantDuplicate(s.open(), unique("second", "key"), "first")
	s.receiveNone(c, 100*time.Millisecond, "it was reported as a duplicate")
}

func caseDedupAfterDead(s *stage) {
	d := s.declared()
	s.put(d, unique("first", "key"))
	c := s.consume(d, 1)
	s.settleDead(c, s.receiveOne(c))
	s.wantDuplicate(d, unique("second", "key"), "first")
	s.waitDeadLetters(d, 1)
	s.receiveNone(c, 100*time.Millisecond, "it was reported as a duplicate")
}

func caseDedupRedrive(s *stage) {
	d := s.declared()
	s.put(d, unique("job", "key"))
	c := s.consume(d, 1)
	s.settleRetry(c, s.receiveOne(c), 0)
	s.settleRetry(c, s.receiveOne(c), 50*time.Millisecond)
	s.settle(c, s.receiveOne(c), driver.OutcomeRelease)
	s.settleDead(c, s.receiveOne(c))
	s.waitDeadLetters(d, 1)
	n, err := d.Redrive(s.ctx, s.queue, driver.Selection{IDs: []string{"job"}})
	s.check(err, "redrive")
	equal(s, n, 1, "dead letters redriven")
	got := s.receiveOne(c)
	equal(s, got.ID, "job", "the job that was redriven")
	s.settle(c, got, driver.OutcomeDone)
	s.wantDuplicate(d, unique("second", "key"), "job")
}

func caseDedupQueues(s *stage) {
	d := s.declared()
	other := s.newQueue()
	s.check(d.Declare(s.ctx, other), "declare")
	s.put(d, unique("here", "key"))
	s.putOn(d, other, unique("there", "key"))
	s.wantDuplicate(d, unique("again", "key"), "here")
	c := s.consumeFrom(d, other, 1)
	got := s.receiveOne(c)
	equal(s, got.ID, "there", "the job on the other queue")
	s.settle(c, got, driver.OutcomeDone)
}

func caseDedupKeys(s *stage) {
	d := s.declared()
	keys := []string{"key", "KEY", "key.", "key*", "key>", "{key}", "key:1", "key/1", "!", "~", "", "", "'\";--"}
	for i, key := range keys {
		s.put(d, unique(name(i), key))
	}
	for i, key := range keys {
		if key != "" {
			s.wantDuplicate(d, unique("again", key), name(i))
		}
	}
	s.finish(d, len(keys))
	s.check(ExactCover(s.history.Events(), names(len(keys))), "judge the history")
}

func caseDedupConcurrent(s *stage) {
	const handles, each, keys = 3, 20, 5
	s.history.Add(Event{Op: Enqueueing, ID: "all"})
	var mu sync.Mutex
	stored := make(map[string]int)
	var failed error
	var all sync.WaitGroup
	for range handles {
		q := queueOf[batch.Deduplicator](s, s.open())
		for n := range each {
			key := fmt.Sprintf("key-%d", n%keys)
			all.Go(func() {
				receipt, err := q.Enqueue(s.ctx, task{N: n}, batch.Unique(q, key))
				mu.Lock()
				defer mu.Unlock()
				failed = errors.Join(failed, err)
				if err == nil && !receipt.Duplicate {
					stored[key]++
				}
			})
		}
	}
	all.Wait()
	s.check(failed, "enqueue")
	s.inWindow(s.open(), "all")
	for n := range keys {
		equal(s, stored[fmt.Sprintf("key-%d", n)], 1, "jobs of one key that were stored")
	}
	d := s.open()
	s.finish(d, keys)
	s.waitDepth(d, driver.Depth{})
	s.receiveNone(s.consume(d, 1), 100*time.Millisecond, "one job of each key was stored")
}

func caseDedupWindow(s *stage) {
	d := s.declared()
	window := capable[batch.Deduplicator](s, d).DedupWindow()
	begin := s.history.Now()
	s.put(d, unique("first", "key"))
	s.wantDuplicate(d, unique("second", "key"), "first")
	if window > s.harness.Timeout/2 {
		s.untested("the window of %s is too long to wait for: open the driver with a shorter one if it can be set", window)
		return
	}
	// A window may be longer than it says, but must not be shorter.
	stored := func() error { return stores(s, d, unique("third", "key")) }
	s.pass(window / 2)
	if err := stored(); err == nil && s.history.Now()-begin < window {
		s.failf("a key was free after %s, before its window of %s was over", s.history.Now()-begin, window)
	}
	s.pass(window/2 + s.lateness())
	s.eventually("enqueueing with a key whose window is over", stored)
}
