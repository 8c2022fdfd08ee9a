package conformance

import (
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
)

var importOnceCases = []Case{
	{Name: "import-once", Rule: "An entry with an ImportKey that was imported within the ImportWindow is a duplicate and not stored, in whatever state it comes, also after the first has run or been removed; of two in one call the first is stored.", Needs: []string{"Importer", "Deduplicator"}, run: caseImportOnce},
	{Name: "import-forget", Rule: "An ImportKey that was forgotten can be imported again, and one of a queue that was deleted; one that nobody knows can be forgotten.", Needs: []string{"Importer", "Deduplicator"}, run: caseImportForget},
	{Name: "import-once-race", Rule: "Of many imports of one ImportKey at once exactly one is stored.", Needs: []string{"Importer", "Deduplicator"}, run: caseImportOnceRace},
}

// once is the driver as one that remembers what it has imported, which each Importer that is a
// Deduplicator has to be.
func (s *stage) once(d driver.Driver) driver.OnceImporter {
	o, ok := bare(d).(driver.OnceImporter)
	if !ok {
		s.failf("%T is an Importer and a Deduplicator, and no OnceImporter", bare(d))
	}
	return o
}

// keyedEntry is a plain job in a state with an import key.
func keyedEntry(id, key string, state driver.State) *driver.Entry {
	e := entry(id, state)
	e.ImportKey = key
	if state == driver.StateScheduled {
		e.Delay = time.Hour
	}
	return e
}

// wantImports ends the case unless an import stores what it should: of each entry, the ID of the job that
// it is a duplicate of, or empty.
func (s *stage) wantImports(d driver.Driver, want []string, entries ...*driver.Entry) {
	for i, e := range entries {
		if want[i] == "" {
			s.history.Add(Event{Op: Enqueueing, ID: e.ID}) // inWindow looks for it
		}
	}
	results := s.once(d).Import(s.ctx, s.queue, entries)
	if results != nil && len(results) != len(entries) {
		s.failf("Import of %d entries returned %d results", len(entries), len(results))
	}
	for i, e := range entries {
		var r driver.Result
		if results != nil {
			r = results[i]
		}
		s.check(r.Err, "import %s", e.ID)
		if want[i] != "" && !r.Duplicate {
			s.inWindow(d, want[i])
		}
		equal(s, r.Duplicate, want[i] != "", "Duplicate of %s with key %s", e.ID, e.ImportKey)
		if r.DuplicateOf != "" {
			equal(s, r.DuplicateOf, want[i], "DuplicateOf of %s with key %s", e.ID, e.ImportKey)
		}
		if !r.Duplicate {
			s.history.Add(Event{Op: Enqueued, ID: e.ID, Note: "imported as " + e.State.String()})
		}
	}
}

func caseImportOnce(s *stage) {
	d := s.declared()
	o := s.once(d)
	if w := o.ImportWindow(); w < time.Second {
		s.failf("ImportWindow is %s", w)
	}
	dedup := keyedEntry("of-dedup", "e", driver.StateWaiting)
	dedup.DedupKey = "k"
	s.wantImports(d, []string{"", "", "", "run", "", "", ""},
		keyedEntry("run", "a", driver.StateWaiting), keyedEntry("later", "b", driver.StateScheduled), keyedEntry("dead", "c", driver.StateDead),
		keyedEntry("again", "a", driver.StateDead), entry("no-key", driver.StateWaiting), keyedEntry("other", "k", driver.StateWaiting), dedup)
	s.put(d, unique("enqueued", "a"), unique("too", "k")) // no import key is a dedup key
	s.wantImports(d, []string{"run", "later", "dead"},
		keyedEntry("run", "a", driver.StateScheduled), keyedEntry("later", "b", driver.StateWaiting), keyedEntry("dead", "c", driver.StateWaiting))
	c := s.consume(d, 6)
	for _, got := range s.receive(c, 6) {
		s.settle(c, got, driver.OutcomeDone)
	}
	_, err := d.Discard(s.ctx, s.queue, driver.Selection{All: true})
	s.check(err, "discard")
	s.wantImports(d, []string{"run", "dead", ""},
		keyedEntry("run", "a", driver.StateWaiting), keyedEntry("dead", "c", driver.StateDead), keyedEntry("new", "d", driver.StateWaiting))
	s.settle(c, s.receiveOne(c), driver.OutcomeDone)
	s.waitDepth(d, driver.Depth{Scheduled: 1})
}

func caseImportForget(s *stage) {
	d := s.declared()
	o := s.once(d)
	s.check(o.ForgetImports(s.ctx, s.queue, nil), "forget nothing")
	s.check(o.ForgetImports(s.ctx, s.queue, []string{"a", "b"}), "forget keys that nobody knows")
	s.wantImports(d, []string{"", "", ""},
		keyedEntry("one", "a", driver.StateWaiting), keyedEntry("two", "b", driver.StateWaiting), keyedEntry("three", "c", driver.StateDead))
	s.check(o.ForgetImports(s.ctx, s.queue, []string{"a", "c", "nothing"}), "forget")
	s.wantImports(d, []string{"", "two", ""},
		keyedEntry("one", "a", driver.StateWaiting), keyedEntry("two", "b", driver.StateWaiting), keyedEntry("three", "c", driver.StateDead))
	s.waitDepth(d, driver.Depth{Waiting: 3, Dead: 2})
	s.check(d.DeleteQueue(s.ctx, s.queue), "delete the queue")
	s.is(o.ForgetImports(s.ctx, s.queue, []string{"a"}), driver.ErrNotFound, "forget keys of a queue that does not exist")
	s.check(d.Declare(s.ctx, s.queue), "declare the queue again")
	s.wantImports(d, []string{"", ""}, keyedEntry("one", "a", driver.StateWaiting), keyedEntry("two", "b", driver.StateWaiting))
}

func caseImportOnceRace(s *stage) {
	d := s.declared()
	o := s.once(d)
	const callers, keys = 8, 5
	var results [callers][]driver.Result
	s.history.Add(Event{Op: Enqueueing, ID: name(0)}) // inWindow looks for it
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			var entries []*driver.Entry
			for k := range keys {
				entries = append(entries, keyedEntry(name(k), name(k), driver.StateWaiting))
			}
			results[i] = o.Import(s.ctx, s.queue, entries)
		})
	}
	all.Wait()
	s.inWindow(d, name(0))
	for k := range keys {
		stored := 0
		for _, r := range results {
			switch {
			case r == nil || r[k].Err == nil && !r[k].Duplicate:
				stored++
			case r[k].Err != nil && driver.FateOf(r[k].Err) != driver.FateNotStored: // many that change one key at once may be refused
				s.check(r[k].Err, "import %s", name(k))
			}
		}
		equal(s, stored, 1, "how often %s was stored", name(k))
	}
	s.waitDepth(d, driver.Depth{Waiting: keys})
}
