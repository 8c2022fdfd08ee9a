package conformance

import (
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var importer = []string{"Importer"}

var importCases = []Case{
	{Name: "import-waiting", Rule: "A job that is imported as waiting is handed out at once, with every field of its message and its history.", Needs: importer, run: caseImportWaiting},
	{Name: "import-scheduled", Rule: "A job that is imported as scheduled is not handed out before its Delay and no more than a second after it, with its history.", Needs: importer, timed: true, run: caseImportScheduled},
	{Name: "import-dead", Rule: "A job that is imported as dead is a dead letter with every field and its history, and can be redriven.", Needs: importer, run: caseImportDead},
	{Name: "import-again", Rule: "An import is never a duplicate, and importing a job again stores it twice.", Needs: importer, run: caseImportAgain},
	{Name: "import-batch", Rule: "One Import takes as many entries as one Enqueue, each in its own state.", Needs: importer, run: caseImportBatch},
	{Name: "import-goes-on", Rule: "An imported job is settled like all others: it can be retried, released, lost and die.", Needs: importer, leases: true, run: caseImportGoesOn},
	{Name: "import-moves", Rule: "What batch.Import gets from one queue's dead letters is the same on another, and what it must refuse is refused before anything is sent.", Needs: importer, run: caseImportMoves},
	{Name: "import-key", Rule: "An import neither checks nor takes a DedupKey, and keeps it with the job.", Needs: []string{"Importer", "Deduplicator"}, run: caseImportKey},
	{Name: "import-group", Rule: "An imported job of a group goes to its end, and holds up those that come after it.", Needs: []string{"Importer", "Grouper"}, run: caseImportGroup},
	{Name: "import-list", Rule: "List shows an imported job in its state with all that was imported.", Needs: []string{"Importer", "Inspector"}, run: caseImportList},
}

// entry makes a plain job in a state.
func entry(id string, state driver.State) *driver.Entry {
	e := &driver.Entry{Message: *message(id), State: state}
	if state == driver.StateDead {
		e.Reason, e.DeadAt = driver.ReasonExpired, e.EnqueuedAt
	}
	return e
}

// fullEntry makes a job in a state with all that a driver with these capabilities
// stores.
func (s *stage) fullEntry(d driver.Driver, id string, state driver.State) *driver.Entry {
	e := entry(id, state)
	e.Message = *full(id)
	s.withCapabilities(d, &e.Message)
	e.EnqueuedAt = time.Date(2001, 2, 3, 4, 5, 6, 789e6, time.UTC)
	b := someBounces(5)
	e.Failures, e.LastError, e.Bounces, e.BouncedSince, e.Deliveries = 3, "it failed \u00e9lsewhere\n", b.n, b.since, 70_001
	if state == driver.StateDead {
		e.Reason, e.DeadAt = driver.ReasonPoison, time.Date(2002, 3, 4, 5, 6, 7, 891e6, time.UTC)
	}
	return e
}

// load imports entries, within the driver's limits, and ends the case if one of them
// is not stored.
func (s *stage) load(d driver.Driver, all ...*driver.Entry) {
	i := capable[batch.Importer](s, d)
	for _, e := range all {
		s.history.Add(Event{Op: Enqueued, ID: e.ID, Level: e.Level, Group: e.Group, Note: "imported as " + e.State.String()})
	}
	for len(all) > 0 {
		n, size := 0, 0
		for n < len(all) && n < s.info.Limits.EnqueueBatch && (n == 0 || size+all[n].Size() <= s.info.Limits.EnqueueBytes) {
			size += all[n].Size()
			n++
		}
		results := i.Import(s.ctx, s.queue, all[:n])
		if results != nil && len(results) != n {
			s.failf("Import of %d entries returned %d results", n, len(results))
		}
		for k, r := range results {
			s.check(r.Err, "import %s", all[k].ID)
			if r.Duplicate {
				s.failf("import %s: reported as a duplicate of %q", all[k].ID, r.DuplicateOf)
			}
		}
		all = all[n:]
	}
}

// sameHistory ends the case unless a delivery has the history of an entry, and was
// handed out once since.
func (s *stage) sameHistory(got *driver.Delivery, e *driver.Entry) {
	equal(s, got.Failures, e.Failures, "Failures of %s", e.ID)
	equal(s, got.LastError, e.LastError, "LastError of %s", e.ID)
	bounces{e.Bounces, e.BouncedSince}.check(s, got.Bounces, got.BouncedSince, "of %s", e.ID)
	equal(s, got.Deliveries, e.Deliveries+1, "Deliveries of %s", e.ID)
	equal(s, got.Redeliveries, 0, "Redeliveries of %s", e.ID)
}

// sameMessageAs is sameMessage with an entry, whose Delay is part of the import only.
func (s *stage) sameMessageAs(got *driver.Message, e *driver.Entry, what string) {
	want := e.Message
	want.Delay = 0
	s.check(sameMessage(got, &want), "%s", what)
}

func caseImportWaiting(s *stage) {
	d := s.declared()
	c := s.consume(d, 1)
	for _, e := range []*driver.Entry{s.fullEntry(d, "full", driver.StateWaiting), entry("plain", driver.StateWaiting)} {
		s.load(d, e)
		got := s.receiveOne(c)
		s.sameMessageAs(&got.Message, e, "received")
		s.sameHistory(got, e)
		s.settle(c, got, driver.OutcomeDone)
	}
	s.waitDepth(d, driver.Depth{})
}

func caseImportScheduled(s *stage) {
	d := s.declared()
	c := s.consume(d, 1)
	later := entry("later", driver.StateScheduled)
	later.Delay = min(100*24*time.Hour, s.info.Limits.MaxRetryDelay)
	s.load(d, later)
	for i, delay := range []time.Duration{50 * time.Millisecond, 900 * time.Millisecond} {
		e := s.fullEntry(d, name(i), driver.StateScheduled)
		e.Group = "" // which would hold back the next
		e.Delay = delay
		begin := s.history.Now()
		s.load(d, e)
		end := s.history.Now()
		got := s.receiveBy(delay, c, 1)[0]
		now := s.history.Now()
		s.check(Within("the job that was imported with a delay", begin, now, delay, now), "measure")
		s.check(Within("the job that was imported with a delay", end, now, 0, delay+s.lateness()), "measure")
		s.sameMessageAs(&got.Message, e, "received")
		s.sameHistory(got, e)
		s.settle(c, got, driver.OutcomeDone)
	}
	s.waitDepth(d, driver.Depth{Scheduled: 1})
}

// sameDeath ends the case unless a dead letter is what was imported.
func (s *stage) sameDeath(dead *driver.DeadLetter, e *driver.Entry) {
	s.sameMessageAs(&dead.Message, e, "the dead letter")
	equal(s, dead.Failures, e.Failures, "Failures of the dead letter")
	equal(s, dead.LastError, e.LastError, "LastError of the dead letter")
	bounces{e.Bounces, e.BouncedSince}.check(s, dead.Bounces, dead.BouncedSince, "of the dead letter")
	equal(s, dead.Deliveries, e.Deliveries, "Deliveries of the dead letter")
	equal(s, dead.Reason, e.Reason, "Reason of the dead letter")
	if !dead.DeadAt.Equal(e.DeadAt) {
		s.failf("DeadAt of the dead letter is %s, was %s", dead.DeadAt, e.DeadAt)
	}
}

func caseImportDead(s *stage) {
	d := s.declared()
	c := s.consume(d, 1)
	e := s.fullEntry(d, "dead", driver.StateDead)
	s.load(d, e)
	s.sameDeath(&s.waitDeadLetters(d, 1)[0], e)
	s.receiveNone(c, 200*time.Millisecond, "it was imported as dead")
	n, err := d.Redrive(s.ctx, s.queue, driver.Selection{IDs: []string{"dead"}})
	s.check(err, "redrive")
	equal(s, n, 1, "dead letters redriven")
	got := s.receiveOne(c)
	s.sameMessageAs(&got.Message, e, "redriven")
	fresh := entry("dead", driver.StateWaiting)
	s.sameHistory(got, fresh)
	s.settle(c, got, driver.OutcomeDone)
	s.load(d, entry("one", driver.StateDead), entry("two", driver.StateDead))
	n, err = d.Discard(s.ctx, s.queue, driver.Selection{IDs: []string{"one"}})
	s.check(err, "discard")
	equal(s, n, 1, "dead letters discarded")
	equal(s, s.waitDeadLetters(d, 1)[0].ID, "two", "the dead letter that is left")
}

func caseImportAgain(s *stage) {
	d := s.declared()
	e := s.fullEntry(d, "job", driver.StateWaiting)
	s.load(d, e)
	s.load(d, e)
	c := s.consume(d, 1)
	for range 2 {
		got := s.receiveOne(c)
		s.sameMessageAs(&got.Message, e, "received")
		s.settle(c, got, driver.OutcomeDone)
	}
	s.waitDepth(d, driver.Depth{})
}

func caseImportBatch(s *stage) {
	d := s.declared()
	i := capable[batch.Importer](s, d)
	n := min(s.info.Limits.EnqueueBatch, 300)
	states := []driver.State{driver.StateWaiting, driver.StateDead, driver.StateScheduled}
	var entries []*driver.Entry
	counts := make(map[driver.State]int)
	var waiting []string
	for k := range n {
		e := entry(name(k), states[k%len(states)])
		if e.State == driver.StateScheduled {
			e.Delay = time.Hour
		}
		if e.State == driver.StateWaiting {
			waiting = append(waiting, e.ID)
		}
		counts[e.State]++
		entries = append(entries, e)
	}
	results := i.Import(s.ctx, s.queue, entries)
	if results != nil && len(results) != n {
		s.failf("Import of %d entries returned %d results", n, len(results))
	}
	for k, r := range results {
		s.check(r.Err, "import %s", entries[k].ID)
	}
	equal(s, len(i.Import(s.ctx, s.queue, nil)), 0, "results of an Import of nothing")
	s.waitDepth(d, driver.Depth{
		Waiting: int64(counts[driver.StateWaiting]), Scheduled: int64(counts[driver.StateScheduled]), Dead: int64(counts[driver.StateDead]),
	})
	s.finish(d, len(waiting))
	s.check(ExactCover(s.history.Events(), waiting), "judge the history")
}

func caseImportGoesOn(s *stage) {
	d := s.declared()
	e := s.fullEntry(d, "job", driver.StateWaiting)
	s.load(d, e)
	c := s.consume(d, 1)
	got := s.receiveOne(c)
	s.settle(c, got, driver.OutcomeRelease)
	got = s.receiveOne(c)
	equal(s, got.Deliveries, e.Deliveries+2, "Deliveries of an imported job after a release")
	bounces{e.Bounces, e.BouncedSince}.check(s, got.Bounces, got.BouncedSince, "of an imported job after a release")
	d, c, got = s.nextHolder(d)
	equal(s, got.Redeliveries, 1, "Redeliveries of an imported job after a lost holder")
	equal(s, got.Failures, e.Failures, "Failures of an imported job after a lost holder")
	equal(s, got.LastError, e.LastError, "LastError of an imported job after a lost holder")
	bounces{e.Bounces, e.BouncedSince}.check(s, got.Bounces, got.BouncedSince, "of an imported job after a lost holder")
	s.settleRetry(c, got, 0)
	got = s.receiveOne(c)
	equal(s, got.Failures, e.Failures+1, "Failures of an imported job after a retry")
	s.settleDead(c, got)
	dead := s.waitDeadLetters(d, 1)[0]
	s.sameMessageAs(&dead.Message, e, "the dead letter of an imported job")
	equal(s, dead.Deliveries, e.Deliveries+4, "Deliveries of the dead letter")
}

func caseImportMoves(s *stage) {
	d := s.declared()
	c := s.consume(d, 1)
	m := full("job")
	s.withCapabilities(d, m)
	s.put(d, m)
	s.settleAs(c, someBounces(3).dead(s.receiveOne(c)))
	dead := s.waitDeadLetters(d, 1)[0]
	s.check(c.Close(s.ctx), "close the consumer")

	q, err := batch.TryNewQueue(capable[batch.Importer](s, s.open()), s.newQueue())
	s.check(err, "make the queue's handle")
	moved := batch.Entry{
		Message: dead.Message, State: batch.StateDead, Failures: dead.Failures, LastError: dead.LastError,
		Bounces: dead.Bounces, BouncedSince: dead.BouncedSince, Deliveries: dead.Deliveries, Reason: dead.Reason, DeadAt: dead.DeadAt,
	}
	large := moved
	large.Body = make([]byte, s.info.Limits.MaxBody+1)
	stateless := moved
	stateless.State = 0
	early := moved
	early.Delay = time.Second
	results, err := batch.Import(s.ctx, q, []batch.Entry{large, moved, stateless, early})
	var many *batch.ManyError
	if !errors.As(err, &many) || many.Refused != 3 || many.Unconfirmed != 3 || many.Total != 4 {
		s.failf("Import of four entries, three of which cannot be: %v (%+v)", err, many)
	}
	s.is(results[0].Err, batch.ErrTooLarge, "import a body that is too large")
	s.check(results[1].Err, "import a dead letter")
	s.is(results[2].Err, batch.ErrInvalid, "import an entry without a state")
	s.is(results[3].Err, batch.ErrInvalid, "import a dead letter with a delay")
	s.eventually("listing the dead letter on the other queue", func() error {
		page, _, err := q.DeadLetters().List(s.ctx, "", 10)
		if err != nil {
			return err
		}
		if len(page) != 1 {
			return fmt.Errorf("there are %d", len(page))
		}
		s.sameDeath(&page[0], &moved)
		return nil
	})
}

func caseImportKey(s *stage) {
	d := s.declared()
	s.put(d, unique("first", "taken"))
	taken, free := entry("second", driver.StateWaiting), entry("third", driver.StateWaiting)
	taken.DedupKey, free.DedupKey = "taken", "free"
	s.load(d, taken, free)
	s.put(d, unique("fourth", "free"))
	s.wantDuplicate(d, unique("fifth", "taken"), "first")
	c := s.consume(d, 4)
	keys := map[string]string{"first": "taken", "second": "taken", "third": "free", "fourth": "free"}
	for _, got := range s.receive(c, 4) {
		equal(s, got.DedupKey, keys[got.ID], "DedupKey of %s", got.ID)
		s.settle(c, got, driver.OutcomeDone)
	}
}

func caseImportGroup(s *stage) {
	d := s.declared()
	s.put(d, grouped("first", "g"))
	second, third := entry("second", driver.StateScheduled), entry("third", driver.StateWaiting)
	second.Group, third.Group = "g", "g"
	second.Delay = 300 * time.Millisecond
	s.load(d, second)
	s.load(d, third)
	s.put(d, grouped("fourth", "g"), message("other"))
	c := s.consume(d, 5)
	got := s.receive(c, 2)
	byID := map[string]*driver.Delivery{got[0].ID: got[0], got[1].ID: got[1]}
	if byID["first"] == nil || byID["other"] == nil {
		s.failf("%s and %s were handed out, want the first of the group and one without a group", got[0].ID, got[1].ID)
	}
	s.receiveNone(c, 2*second.Delay, "the first of its group is not done")
	s.settle(c, byID["first"], driver.OutcomeDone)
	s.next(c, "second", "which was imported to the end of the group")
	s.next(c, "third", "which was imported to the end of the group")
	s.next(c, "fourth", "which was enqueued after the import")
	s.settle(c, byID["other"], driver.OutcomeDone)
	s.waitDepth(d, driver.Depth{})
}

func caseImportList(s *stage) {
	d := s.declared()
	for _, state := range []driver.State{driver.StateWaiting, driver.StateScheduled, driver.StateDead} {
		e := s.fullEntry(d, state.String(), state)
		if e.Group != "" {
			e.Group = state.String()
		}
		if state == driver.StateScheduled {
			e.Delay = time.Hour
		}
		before := time.Now()
		s.load(d, e)
		got := s.waitList(d, state, e.ID)[0]
		s.sameMessageAs(&got.Message, e, "listed")
		equal(s, got.State, state, "State")
		equal(s, got.Failures, e.Failures, "Failures of the %s job", state)
		equal(s, got.LastError, e.LastError, "LastError of the %s job", state)
		equal(s, got.Deliveries, e.Deliveries, "Deliveries of the %s job", state)
		bounces{e.Bounces, e.BouncedSince}.check(s, got.Bounces, got.BouncedSince, "of the %s job", state)
		equal(s, got.Reason, e.Reason, "Reason of the %s job", state)
		if !got.DeadAt.Equal(e.DeadAt) {
			s.failf("DeadAt of the %s job is %s, was %s", state, got.DeadAt, e.DeadAt)
		}
		if off := got.DueAt.Sub(before) - e.Delay; state == driver.StateScheduled && (off < -time.Minute || off > time.Minute) {
			s.failf("DueAt is %s, want about an hour after %s", got.DueAt, before)
		}
	}
}
