package conformance

import (
	"errors"
	"time"
)

// The functions in this file judge histories in which there were faults: what was
// promised for certain must hold, and what else happened must have a cause. They are
// pure.

// Judge is what is wrong with a history by all the functions below, or nil. grace is how
// long after its end a fault may have effects: a lease and what a broker needs to notice
// that it has ended.
func Judge(events []Event, grace time.Duration) error {
	return errors.Join(
		Kept(events), NothingMadeUp(events), RerunsCaused(events, grace), AttemptsCaused(events),
		NothingEarly(events), GroupsKept(events), UniqueOnce(events),
	)
}

// Kept says which jobs are lost: their enqueue was confirmed, and they were neither done nor
// became dead letters.
func Kept(events []Event) error {
	over := make(map[string]bool)
	for _, e := range events {
		over[e.ID] = over[e.ID] || e.Op == Done || e.Op == Died
	}
	var v findings
	for _, e := range events {
		if e.Op == Enqueued && !over[e.ID] {
			v.add("%s was confirmed and is neither done nor dead", e.ID)
		}
	}
	return v.err("jobs lost")
}

// NothingMadeUp says which jobs ran that cannot be there: no enqueue of them began, or all
// of those that did ended with the word that they are certainly not stored.
func NothingMadeUp(events []Event) error {
	possible := make(map[string]int)
	for _, e := range events {
		switch e.Op {
		case Enqueueing:
			possible[e.ID]++
		case Refused, Duplicate:
			possible[e.ID]--
		}
	}
	var v findings
	for _, e := range events {
		if e.Op == Started && possible[e.ID] < 1 {
			v.add("%s ran, which is certainly not stored", e.ID)
		}
	}
	return v.err("jobs made up")
}

// span is a time in which a fault had effects on a worker, or on all.
type span struct {
	worker     string
	begin, end time.Duration
	mended     time.Duration // the end without its grace
}

// disturbances are the faults of a history, each with its grace.
func disturbances(events []Event, grace time.Duration) []span {
	const open = time.Duration(1<<63 - 1)
	var spans []span
	for _, e := range events {
		switch e.Op {
		case Disturbed:
			spans = append(spans, span{worker: e.Worker, begin: e.At, end: open, mended: open})
		case Mended:
			for i := range spans {
				if spans[i].worker == e.Worker && spans[i].end == open {
					spans[i].end, spans[i].mended = e.At+grace, e.At
				}
			}
		}
	}
	return spans
}

// RerunsCaused says which jobs ran twice in one attempt without a cause: the first run
// was given back, its lease was lost, a fault came between the two, or the job was
// enqueued twice. A fault may leave two copies of a job, each of which goes on to later
// attempts. A worker that has a fault may move jobs that it does not run: what was on its
// way to a run may have become two by that of any worker.
func RerunsCaused(events []Event, grace time.Duration) error {
	type run struct {
		id      string
		attempt int
	}
	spans := disturbances(events, grace)
	former := make(map[run]Event)
	runs := make(map[run]int)
	copies := make(map[string]int)   // how many more than one there may be
	excused := make(map[string]bool) // jobs whose last run was given back or lost
	waits := make(map[string]Event)  // since when a job is on its way to its next run
	way := make(map[run]span)        // in which it was on its way to the first run of an attempt
	var v findings
	for _, e := range events {
		switch e.Op {
		case Enqueueing:
			if _, ok := copies[e.ID]; ok {
				copies[e.ID]++
			} else {
				copies[e.ID] = 0
			}
			waits[e.ID] = e
		case Failed:
			waits[e.ID] = e
		case Returned, Lost:
			excused[e.ID] = true
		case Started:
			r := run{e.ID, e.Attempt}
			if runs[r] == 0 {
				way[r] = span{begin: waits[e.ID].At, end: e.At}
			}
			before := former[r]
			switch runs[r]++; {
			case runs[r] <= 1+copies[e.ID]:
			case excused[e.ID] || caused(spans, before, e) || copies[e.ID] < overlaps(spans, way[r]):
				copies[e.ID]++
			default:
				v.add("%s ran again as attempt %d, by %s %s after %s began it", e.ID, e.Attempt, e.Worker, e.At-before.At, before.Worker)
			}
			former[r] = e
			excused[e.ID] = false
		}
	}
	return v.err("jobs doubled without a cause")
}

// caused tells whether a fault of the worker that began a job, or of all, came before
// the job was begun again.
func caused(spans []span, first, second Event) bool {
	for _, s := range spans {
		if (s.worker == "" || s.worker == first.Worker) && s.begin <= second.At && s.end >= first.At {
			return true
		}
	}
	return false
}

// overlaps is how many faults, of whichever worker, were at work in the time w.
func overlaps(spans []span, w span) int {
	n := 0
	for _, s := range spans {
		if s.begin <= w.end && s.mended >= w.begin {
			n++
		}
	}
	return n
}

// AttemptsCaused says which jobs were started in an attempt that no failure of the one
// before led to.
func AttemptsCaused(events []Event) error {
	failed := make(map[string]int) // the highest attempt that failed
	var v findings
	for _, e := range events {
		switch e.Op {
		case Failed, Died:
			failed[e.ID] = max(failed[e.ID], e.Attempt)
		case Started:
			if e.Attempt < 1 || e.Attempt > failed[e.ID]+1 {
				v.add("%s started as attempt %d, and the last that failed was %d", e.ID, e.Attempt, failed[e.ID])
			}
		}
	}
	return v.err("attempts made up")
}

// NothingEarly says which jobs were started before their time: their own delay, or that
// of the retry which led to the attempt.
func NothingEarly(events []Event) error {
	type attempt struct {
		id string
		n  int
	}
	due := make(map[attempt]time.Duration)
	var v findings
	for _, e := range events {
		switch e.Op {
		case Enqueueing, Failed:
			// The first of several, since any of them may be the one that counts.
			next := attempt{e.ID, 1}
			if e.Op == Failed {
				next.n = e.Attempt + 1
			}
			if _, ok := due[next]; !ok {
				due[next] = e.At + e.Delay
			}
		case Started:
			if at := due[attempt{e.ID, e.Attempt}]; e.At < at {
				v.add("%s started as attempt %d %s early", e.ID, e.Attempt, at-e.At)
			}
		}
	}
	return v.err("jobs early")
}

// GroupsKept says which jobs of a group were first started before one of the group
// was over that was confirmed before they were enqueued.
func GroupsKept(events []Event) error {
	type job struct {
		after []string // those of the group that were confirmed before
		begun bool
	}
	jobs := make(map[string]*job)
	confirmed := make(map[string][]string)
	over := make(map[string]bool)
	var v findings
	for _, e := range events {
		switch {
		case e.Op == Done || e.Op == Died:
			over[e.ID] = true
		case e.Group == "":
		case e.Op == Enqueueing && jobs[e.ID] == nil:
			before := confirmed[e.Group]
			jobs[e.ID] = &job{after: before[:len(before):len(before)]}
		case e.Op == Enqueued:
			confirmed[e.Group] = append(confirmed[e.Group], e.ID)
		case e.Op == Started && jobs[e.ID] != nil && !jobs[e.ID].begun:
			jobs[e.ID].begun = true
			for _, id := range jobs[e.ID].after {
				if !over[id] {
					v.add("%s of group %s started while %s, confirmed before, was not over", e.ID, e.Group, id)
				}
			}
		}
	}
	return v.err("groups out of order")
}

// UniqueOnce says which keys more than one job ran for. All enqueues with one key must
// lie within its window.
func UniqueOnce(events []Event) error {
	keys := make(map[string]string) // by ID
	first := make(map[string]string)
	var v findings
	for _, e := range events {
		switch {
		case e.Op == Enqueueing && e.Key != "":
			keys[e.ID] = e.Key
		case e.Op == Started && keys[e.ID] != "":
			key := keys[e.ID]
			if id, ok := first[key]; ok && id != e.ID {
				v.add("%s ran for key %s, and %s before", e.ID, key, id)
			} else {
				first[key] = e.ID
			}
		}
	}
	return v.err("keys taken twice")
}

// AllOrNone says of which groups of jobs, each enqueued at once, some ran and some did not.
func AllOrNone(events []Event, groups [][]string) error {
	ran := make(map[string]bool)
	for _, e := range events {
		ran[e.ID] = ran[e.ID] || e.Op == Started
	}
	var v findings
	for _, ids := range groups {
		n := 0
		for _, id := range ids {
			if ran[id] {
				n++
			}
		}
		if n > 0 && n < len(ids) {
			v.add("%d of the %d jobs from %s on ran", n, len(ids), ids[0])
		}
	}
	return v.err("jobs enqueued in part")
}
