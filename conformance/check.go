package conformance

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The functions in this file judge histories. They are pure: they say what is
// wrong with what was recorded, or nil.

// findings gathers what a check finds, the first few of it in words.
type findings struct {
	first []string
	n     int
}

// add notes what was found.
func (v *findings) add(format string, args ...any) {
	v.n++
	if len(v.first) < 5 {
		v.first = append(v.first, fmt.Sprintf(format, args...))
	}
}

// err is what was found in one error, or nil.
func (v *findings) err(what string) error {
	if v.n == 0 {
		return nil
	}
	more := ""
	if v.n > len(v.first) {
		more = fmt.Sprintf("; and %d more", v.n-len(v.first))
	}
	return fmt.Errorf("%s: %s%s", what, strings.Join(v.first, "; "), more)
}

// ExactCover says which of the jobs were not started exactly once and done
// exactly once, and which others were started.
func ExactCover(events []Event, ids []string) error {
	started, done := make(map[string]int), make(map[string]int)
	for _, e := range events {
		switch e.Op {
		case Started:
			started[e.ID]++
		case Done:
			done[e.ID]++
		}
	}
	var lost, doubled, strange findings
	for _, id := range ids {
		switch {
		case started[id] == 0:
			lost.add("%s never started", id)
		case done[id] == 0:
			lost.add("%s started and was not done", id)
		case started[id] > 1 || done[id] > 1:
			doubled.add("%s started %d times, done %d times", id, started[id], done[id])
		}
		delete(started, id)
	}
	for id, n := range started {
		strange.add("%s started %d times", id, n)
	}
	for _, err := range []error{
		lost.err(fmt.Sprintf("%d of %d jobs lost", lost.n, len(ids))),
		doubled.err(fmt.Sprintf("%d of %d jobs ran more than once", doubled.n, len(ids))),
		strange.err("jobs ran that were not expected"),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// NoOverlap says which jobs were started while they were held: between an earlier
// start and its end, and less than a lease after that start. A lease of zero never
// ends.
func NoOverlap(events []Event, lease time.Duration) error {
	held := make(map[string]Event)
	var v findings
	for _, e := range events {
		switch {
		case e.Op == Started:
			if former, ok := held[e.ID]; ok && (lease == 0 || e.At-former.At < lease) {
				v.add("%s started by %s %s after it started by %s, which holds it", e.ID, e.Worker, e.At-former.At, former.Worker)
			}
			held[e.ID] = e
		case e.Op.ends():
			if former, ok := held[e.ID]; ok && former.Worker == e.Worker {
				delete(held, e.ID)
			}
		}
	}
	return v.err("two holders at once")
}

// Within returns an error if the time from begin to end is outside the bounds; what
// names that time.
func Within(what string, begin, end, least, most time.Duration) error {
	switch d := end - begin; {
	case d < least:
		return fmt.Errorf("%s came after %s, which is %s early", what, d, least-d)
	case d > most:
		return fmt.Errorf("%s came after %s, which is %s late", what, d, d-most)
	}
	return nil
}

// PriorityOrder says where a job was started although one of a higher level was
// waiting: it was enqueued for certain before, and started after.
func PriorityOrder(events []Event) error {
	type waiting struct {
		Event
		started bool
	}
	jobs := make(map[string]*waiting)
	var order []string
	var v findings
	for _, e := range events {
		switch e.Op {
		case Enqueued:
			jobs[e.ID] = &waiting{Event: e}
			order = append(order, e.ID)
		case Started:
			job, ok := jobs[e.ID]
			if !ok || job.started {
				continue
			}
			job.started = true
			for _, id := range order {
				if other := jobs[id]; !other.started && other.Level > job.Level {
					v.add("%s of level %d started while %s of level %d was waiting", e.ID, job.Level, id, other.Level)
					break
				}
			}
		}
	}
	return v.err(fmt.Sprintf("%d inversions", v.n))
}

// GroupOrder says where a job of a group was started although one of the group
// that was enqueued before was not done or dead, which includes two at once.
// The enqueues of a group must not have overlapped.
func GroupOrder(events []Event) error {
	groups := make(map[string][]string)
	over := make(map[string]bool)
	var v findings
	for _, e := range events {
		switch {
		case e.Group == "":
		case e.Op == Enqueueing:
			groups[e.Group] = append(groups[e.Group], e.ID)
		case e.Op == Done || e.Op == Died:
			over[e.ID] = true
		case e.Op == Started:
			ids := groups[e.Group]
			if at := slices.Index(ids, e.ID); at < 0 {
				v.add("%s of group %s started and was not enqueued", e.ID, e.Group)
			} else if at = slices.IndexFunc(ids[:at], func(id string) bool { return !over[id] }); at >= 0 {
				v.add("%s of group %s started while %s, enqueued before, was not over", e.ID, e.Group, ids[at])
			}
		}
	}
	return v.err(fmt.Sprintf("%d jobs out of order", v.n))
}

// AttemptCounts says which starts of jobs had an attempt number other than one plus
// the failures recorded before.
func AttemptCounts(events []Event) error {
	failures := make(map[string]int)
	var v findings
	for _, e := range events {
		switch e.Op {
		case Failed, Died:
			failures[e.ID]++
		case Started:
			if want := failures[e.ID] + 1; e.Attempt != want {
				v.add("%s started as attempt %d after %d failures", e.ID, e.Attempt, want-1)
			}
		}
	}
	return v.err("attempts miscounted")
}
