package conformance

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var windowCases = []Case{
	{Name: "window-slides", Rule: "Neither duplicates nor what becomes of the job prolong a key's window.", Needs: deduplicator, timed: true, run: caseWindowSlides},
	{Name: "window-whole", Rule: "A key stays taken until the end of its window, whatever becomes of its job: release, retry, lost holder, done.", Needs: deduplicator, leases: true, run: caseWindowWhole},
	{Name: "window-of-first", Rule: "The window is that of the job that took the key, and not of a duplicate.", Needs: deduplicator, timed: true, run: caseWindowOfFirst},
	{Name: "window-again", Rule: "A key that was free and is taken again has a whole window of its own.", Needs: deduplicator, timed: true, run: caseWindowAgain},
	{Name: "window-delayed", Rule: "The window of a delayed job counts from its enqueue, and a key is taken while its job is held back.", Needs: []string{"Deduplicator", "Delayer"}, timed: true, run: caseWindowDelayed},
	{Name: "window-redrive", Rule: "A redriven job whose window is over neither needs its key nor takes it again.", Needs: deduplicator, timed: true, run: caseWindowRedrive},
	{Name: "window-atomic", Rule: "A key of an atomic enqueue has the window that its job says.", Needs: []string{"Deduplicator", "AtomicEnqueuer"}, timed: true, run: caseWindowAtomic},
	{Name: "dedup-many", Rule: "One enqueue of many with duplicates reports each to its caller, at its place.", Needs: deduplicator, run: caseDedupMany},
	{Name: "dedup-failed", Rule: "An enqueue that stored nothing takes no key.", Needs: deduplicator, run: caseDedupFailed},
	{Name: "dedup-removed-many", Rule: "Discarding all dead letters frees all of their keys.", Needs: deduplicator, run: caseDedupRemovedMany},
	{Name: "dedup-levels", Rule: "A duplicate is one whatever its kind, body, level, group or delay.", Needs: []string{"Deduplicator", "Prioritizer"}, run: caseDedupLevels},
}

// taken ends the case if a key is free before an end.
func (s *stage) taken(d driver.Driver, key string, until time.Duration, why string) {
	err := stores(s, d, unique("refused", key))
	if now := s.history.Now(); err == nil && now < until {
		s.failf("the key %q was free %s before the end of its window, %s", key, until-now, why)
	}
}

func caseWindowSlides(s *stage) {
	d := s.declared()
	c := s.consume(d, 1)
	s.put(d, brief("job", "key"))
	stored := s.history.Now()
	got := s.receiveOne(c)
	s.settle(c, got, driver.OutcomeRelease)
	s.settleRetry(c, s.receiveOne(c), 10*time.Millisecond)
	s.settleDead(c, s.receiveOne(c))
	s.waitDeadLetters(d, 1)
	moved, err := d.Redrive(s.ctx, s.queue, driver.Selection{All: true})
	s.check(err, "redrive")
	equal(s, moved, 1, "dead letters redriven")
	s.settle(c, s.receiveOne(c), driver.OutcomeDone)
	// Many duplicates, until one is none.
	free := false
	s.eventually("taking a key whose window is over", func() error {
		err := stores(s, d, unique("next", "key"))
		free = err == nil
		return err
	})
	now := s.history.Now()
	s.check(Within("the end of a key's window", stored, now, 0, shortestWindow+s.lateness()), "measure")
	equal(s, free, true, "whether the key was taken")
}

func caseWindowWhole(s *stage) {
	d := s.declared()
	window := capable[batch.Deduplicator](s, d).DedupWindow()
	begin := s.history.Now()
	until := begin + window
	for i := range 4 {
		s.put(d, unique(name(i), fmt.Sprintf("key-%d", i)))
	}
	c := s.consume(d, 4)
	held := s.receiveAll(c, 4)
	s.settle(c, held[0], driver.OutcomeRelease)
	s.settleRetry(c, held[1], 20*time.Millisecond)
	s.settle(c, held[2], driver.OutcomeDone)
	after := s.vanish(d)
	d = s.open()
	c = s.consume(d, 4)
	for range 3 {
		got := s.receiveBy(after+s.overdue(), c, 1)[0]
		for i := range 4 {
			s.taken(d, fmt.Sprintf("key-%d", i), until, "while its job came back or was done")
		}
		s.settle(c, got, driver.OutcomeDone)
	}
	if window > s.harness.Timeout/4 {
		return // it cannot be waited for
	}
	// Up to just before the end.
	if left := until - s.history.Now() - 100*time.Millisecond; left > 0 {
		s.pass(left)
	}
	for i := range 4 {
		s.taken(d, fmt.Sprintf("key-%d", i), until, "after its job was done")
	}
}

func caseWindowOfFirst(s *stage) {
	d := s.declared()
	window := capable[batch.Deduplicator](s, d).DedupWindow()
	begin := s.history.Now()
	s.put(d, unique("long", "one"))
	s.put(d, brief("short", "two"))
	stored := s.history.Now()
	if err := stores(s, d, brief("refused", "one")); err == nil && s.history.Now() < begin+window {
		s.failf("a duplicate was stored whose own window is short")
	}
	if err := stores(s, d, unique("refused", "two")); err == nil {
		if now := s.history.Now(); now < begin+shortestWindow {
			s.failf("a duplicate was stored %s before the end of the window", begin+shortestWindow-now)
		}
	}
	s.pass(shortestWindow)
	s.taken(d, "one", begin+window, "which a duplicate with a short window has tried to take")
	s.eventually("taking the key whose window is short", func() error { return stores(s, d, unique("next", "two")) })
	s.check(Within("the end of a window that a duplicate with a long one has tried to take", stored, s.history.Now(), 0, shortestWindow+s.lateness()), "measure")
}

func caseWindowAgain(s *stage) {
	d := s.declared()
	s.put(d, brief("first", "key"))
	s.pass(shortestWindow)
	var begin time.Duration
	s.eventually("taking a key whose window is over", func() error {
		begin = s.history.Now()
		return stores(s, d, brief("second", "key"))
	})
	s.taken(d, "key", begin+shortestWindow, "which was taken a second time")
	if left := begin + shortestWindow - s.history.Now() - 40*time.Millisecond; left > 0 {
		s.pass(left)
	}
	s.taken(d, "key", begin+shortestWindow, "which was taken a second time")
}

func caseWindowDelayed(s *stage) {
	d := s.declared()
	later := brief("later", "key")
	later.Delay = time.Hour
	begin := s.history.Now()
	s.put(d, later)
	stored := s.history.Now()
	s.taken(d, "key", begin+shortestWindow, "of a job that is held back")
	s.pass(shortestWindow)
	s.eventually("taking the key of a job that is held back, after its window", func() error { return stores(s, d, unique("next", "key")) })
	s.check(Within("the end of the window of a job that is held back", stored, s.history.Now(), 0, shortestWindow+s.lateness()), "measure")
}

func caseWindowRedrive(s *stage) {
	d := s.declared()
	c := s.consume(d, 1)
	for i := range 2 {
		s.put(d, brief(name(i), fmt.Sprintf("key-%d", i)))
		s.settleDead(c, s.receiveOne(c))
	}
	s.waitDeadLetters(d, 2)
	s.pass(shortestWindow)
	s.eventually("taking a key whose window is over", func() error { return stores(s, d, unique("next-0", "key-0")) })
	redriven := s.history.Now()
	n, err := d.Redrive(s.ctx, s.queue, driver.Selection{All: true})
	s.check(err, "redrive")
	equal(s, n, 2, "dead letters redriven, one of which another has taken the key of")
	s.eventually("taking the key of a job that was redriven after its window", func() error { return stores(s, d, unique("next-1", "key-1")) })
	s.check(Within("the key of a job that was redriven after its window", redriven, s.history.Now(), 0, s.lateness()), "measure")
	var ids []string
	for range 4 {
		got := s.receiveOne(c)
		ids = append(ids, got.ID)
		s.settle(c, got, driver.OutcomeDone)
	}
	s.each("jobs with two keys, each twice", ids, []string{name(0), name(1), "next-0", "next-1"})
	s.wantDuplicate(d, unique("refused", "key-0"), "next-0")
	s.waitDepth(d, driver.Depth{})
}

func caseWindowAtomic(s *stage) {
	d := s.declared()
	a := capable[batch.AtomicEnqueuer](s, d)
	begin := s.history.Now()
	window := capable[batch.Deduplicator](s, d).DedupWindow()
	s.check(a.EnqueueAtomic(s.ctx, s.queue, []*driver.Message{brief("brief", "brief"), unique("whole", "whole")}), "enqueue atomically")
	stored := s.history.Now()
	s.taken(d, "brief", begin+shortestWindow, "of a job that was enqueued with others")
	s.pass(shortestWindow)
	s.eventually("taking a key of an atomic enqueue whose window is over", func() error { return stores(s, d, unique("next", "brief")) })
	s.check(Within("the end of the window of a job that was enqueued with others", stored, s.history.Now(), 0, shortestWindow+s.lateness()), "measure")
	s.taken(d, "whole", begin+window, "of a job that says nothing of its window")
}

func caseDedupMany(s *stage) {
	const jobs = 30
	q := queueOf[batch.Deduplicator](s, s.open())
	enqueue(s, q, 1000, batch.Unique(q, "key-3"))
	var all []batch.Request[batch.Deduplicator]
	for i := range jobs {
		options := []batch.Option[batch.Deduplicator]{batch.ID(q, name(i))}
		if i%2 == 1 {
			options = append(options, batch.Unique(q, fmt.Sprintf("key-%d", i%7))) // each key several times
		}
		all = append(all, batch.Request[batch.Deduplicator]{Args: task{N: i}, Options: options})
	}
	results, err := q.EnqueueMany(s.ctx, all)
	s.check(err, "enqueue %d with duplicates", jobs)
	equal(s, len(results), jobs, "results")
	// Where they take several requests, these may be stored in any order.
	firsts := map[int]string{3: name(1000)}
	want := []string{name(1000)}
	for i, r := range results {
		s.check(r.Err, "the result of job %d", i)
		if r.Duplicate {
			continue
		}
		equal(s, r.ID, name(i), "the ID of result %d", i)
		want = append(want, name(i))
		if i%2 == 1 {
			equal(s, firsts[i%7], "", "the job that has taken the key of job %d, which is stored", i)
			firsts[i%7] = name(i)
		}
	}
	for i, r := range results {
		if r.Duplicate && (i%2 == 0 || r.ID != "" && r.ID != firsts[i%7]) {
			s.failf("job %d is a duplicate of %q, want one of %q", i, r.ID, firsts[i%7])
		}
	}
	equal(s, len(firsts), 7, "keys that were taken")
	s.work(s.open(), nothing, concurrency(4, 4))
	s.waitCount(len(want), Done)
	s.waitDepth(s.open(), driver.Depth{})
	s.check(ExactCover(s.history.Events(), want), "judge the history")
}

func caseDedupFailed(s *stage) {
	d := s.declared()
	q := queueOf[batch.Deduplicator](s, d)
	_, err := q.Enqueue(s.ctx, unencodable{}, batch.Unique(q, "invalid"))
	s.is(err, batch.ErrInvalid, "enqueue what cannot be encoded")
	enqueue(s, q, 0, batch.Unique(q, "invalid"))
	ended, cancel := context.WithCancel(s.ctx)
	cancel()
	_, err = q.Enqueue(ended, task{}, batch.Unique(q, "ended"))
	s.is(err, context.Canceled, "enqueue with a context that has ended")
	enqueue(s, q, 1, batch.Unique(q, "ended"))
	s.finish(d, 2)
	s.waitDepth(d, driver.Depth{})
}

func caseDedupRemovedMany(s *stage) {
	const jobs = 20
	d := s.declared()
	var all, again []*driver.Message
	for i := range jobs {
		all = append(all, unique(name(i), fmt.Sprintf("key-%d", i)))
		again = append(again, unique(name(jobs+i), fmt.Sprintf("key-%d", i)))
	}
	s.put(d, all...)
	s.kill(d, jobs)
	s.waitDeadLetters(d, jobs)
	s.wantDuplicate(d, unique("refused", "key-7"), name(7))
	n, err := d.Discard(s.ctx, s.queue, driver.Selection{All: true})
	s.check(err, "discard all")
	equal(s, n, jobs, "dead letters discarded")
	slices.Reverse(again)
	s.put(d, again...)
	s.finish(d, jobs)
	s.wantDuplicate(d, unique("refused", "key-7"), name(jobs+7))
}

func caseDedupLevels(s *stage) {
	d := s.declared()
	low := unique("low", "key")
	low.Level = driver.Low
	s.put(d, low)
	for _, l := range []driver.Level{driver.Critical, driver.Normal, driver.Trivial} {
		m := unique("refused", "key")
		m.Level = l
		s.wantDuplicate(d, m, "low")
	}
	if _, ok := bare(d).(driver.Grouper); ok {
		m := unique("refused", "key")
		m.Group = "group"
		s.wantDuplicate(d, m, "low")
	}
	if _, ok := bare(d).(driver.Delayer); ok {
		m := unique("refused", "key")
		m.Delay = time.Minute
		s.wantDuplicate(d, m, "low")
	}
	m := unique("refused", "key")
	m.Kind, m.ContentType, m.Body = "another.kind", "text/plain", []byte("another body")
	m.Headers = map[string]string{"another": "header"}
	s.wantDuplicate(d, m, "low")
	s.finish(d, 1)
	s.waitDepth(d, driver.Depth{})
}
