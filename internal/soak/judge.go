package soak

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// history is the record of a run that is over.
type history struct {
	jobs   map[string][]event
	others []event
	faults []window
}

// verdict is what a run came to.
type verdict struct {
	Confirmed, NotStored, Unknown int
	// Doubled is how many jobs ran again after they were done or dead, or while they
	// ran, and Causes how many of them by the fault that is the cause.
	Doubled int
	Causes  map[string]int
	// Stall is the longest time that a caller of Enqueue waited, and Standstill the
	// longest in which no job came to an end.
	Stall, Standstill time.Duration
	// Wrong is what must not be, in words.
	Wrong []string
}

// wrong notes what must not be, and of each kind a few.
func (v *verdict) wrong(format string, args ...any) {
	if len(v.Wrong) < 20 {
		v.Wrong = append(v.Wrong, fmt.Sprintf(format, args...))
	}
}

// judge says what a history came to. dead are the IDs of the dead letters.
func judge(h history, dead map[string]bool) verdict {
	v := verdict{Causes: make(map[string]int)}
	for _, id := range slices.Sorted(maps.Keys(h.jobs)) {
		v.job(h, id, h.jobs[id], dead[id])
	}
	v.Standstill = standstill(h)
	return v
}

// job judges one job.
func (v *verdict) job(h history, id string, events []event, dead bool) {
	var enqueued, started, ended event // the latest
	var last event                     // of those of runs
	fate := op(0)
	var failures, ends, again int
	cause := ""
	for _, e := range events {
		switch e.op {
		case opEnqueue:
			enqueued = e
		case opConfirmed, opNotStored, opUnknown:
			fate = e.op
			v.Stall = max(v.Stall, time.Duration(e.arg)*time.Microsecond)
		case opStarted:
			// Brokers keep times in milliseconds.
			if due := enqueued.at.Add(time.Duration(enqueued.arg) * time.Millisecond); due.Sub(e.at) >= time.Millisecond {
				v.wrong("%s was %s early", id, due.Sub(e.at))
			}
			if started.op != 0 && (last.op != opFailed || int(e.arg) <= failures) {
				again++
				cause = h.cause(enqueued.at, started.at, e.at)
			}
			if int(e.arg) > failures+1 {
				v.wrong("%s started as attempt %d after %d failures", id, e.arg, failures)
			}
			started, last = e, e
		case opFailed:
			failures++
			last = e
		case opDone, opDied:
			ends++
			ended, last = e, e
		}
	}
	switch fate {
	case opConfirmed:
		v.Confirmed++
		if ends == 0 {
			v.wrong("%s was confirmed by %s and lost: %s", id, enqueued.process, story(events))
		}
	case opNotStored:
		v.NotStored++
		if started.op != 0 {
			v.wrong("%s was certainly not stored, and ran: %s", id, story(events))
		}
	default: // nobody knows, the producer that was killed included
		v.Unknown++
	}
	if again > 0 {
		v.Doubled++
		v.Causes[cause]++
		if cause == "" {
			v.wrong("%s ran again without a cause: %s", id, story(events))
		}
	}
	if ended.op == opDied && !dead {
		v.wrong("%s died and is no dead letter: %s", id, story(events))
	}
}

// aftermath is how long after a fault calls are still on their way that it has
// touched: a connection is made anew, a settlement is tried again.
const aftermath = 10 * time.Second

// cause is the fault for which a job ran again: one while it ran the time before, or
// on its way, else none.
func (h history) cause(enqueued, before, again time.Time) string {
	for _, from := range []time.Time{before, enqueued} {
		for _, f := range slices.Backward(h.faults) {
			if f.begin.Before(again) && (f.end.IsZero() || f.end.Add(aftermath).After(from)) {
				return f.fault
			}
		}
	}
	return ""
}

// standstill is the longest time between two ends of jobs.
func standstill(h history) time.Duration {
	var ends []time.Time
	for _, events := range h.jobs {
		for _, e := range events {
			if e.op == opDone || e.op == opDied {
				ends = append(ends, e.at)
			}
		}
	}
	slices.SortFunc(ends, time.Time.Compare)
	var longest time.Duration
	for i := 1; i < len(ends); i++ {
		longest = max(longest, ends[i].Sub(ends[i-1]))
	}
	return longest
}

// story is what happened to a job, in one line.
func story(events []event) string {
	var b strings.Builder
	for i, e := range events {
		if i > 0 {
			fmt.Fprintf(&b, ", +%s ", e.at.Sub(events[0].at).Round(time.Millisecond))
		}
		fmt.Fprintf(&b, "%c by %s (%d)", e.op, e.process, e.arg)
	}
	return b.String()
}
