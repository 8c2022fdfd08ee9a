package clockstep

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Seen is what became of delays and leases while the clock was set.
type Seen struct {
	Early   []string      // delayed jobs that came before their time
	Late    []string      // those that did not come in time, nor in the seconds after that
	Doubled []string      // those that came again, though they were settled or held
	After   []string      // those that were stored after the clock had been set
	Gone    string        // how the lease of a vanished holder ended: "" in time, "early" or "late"
	Lost    bool          // the lease of a job that was extended all the time was lost
	Held    string        // that job
	Delayed int           // how many were delayed
	Slowest time.Duration // how late the last of those was that came
	Notes   []string      // when each job came
}

// String is what was seen.
func (s Seen) String() string {
	return fmt.Sprintf("of %d jobs early %v, late %v, late by %s at most, doubled %v, vanished %q, lease lost %v\n\t%s",
		s.Delayed, s.Early, s.Late, s.Slowest, s.Doubled, s.Gone, s.Lost, strings.Join(s.Notes, "\n\t"))
}

// Effect is what a step does on a broker that does not keep what it promises. The zero value is one that does.
type Effect struct {
	Early  bool // what was delayed before is early by the step
	Late   bool // what was delayed before is late by the step, and so is what a vanished holder had
	Behind bool // what is delayed after that waits behind it
	Ends   bool // leases may end, so that what is held runs again
	// Slow is how late something may be without being late by the step: the broker's driver has to notice it.
	Slow time.Duration
}

// Check is nil if a step had that effect and no other one.
func (s Seen) Check(e Effect) error {
	var problems []string
	wrong := func(bad bool, problem string) {
		if bad {
			problems = append(problems, problem)
		}
	}
	after := func(ids []string) bool {
		return slices.ContainsFunc(ids, func(id string) bool { return slices.Contains(s.After, id) })
	}
	wrong(len(s.Early) > 0 != e.Early, "something is early, or nothing is that should")
	wrong(after(s.Early), "what was delayed after the step is early")
	wrong(len(s.Late) > 0 != e.Late, "something is late, or nothing is that should")
	wrong(after(s.Late) && !e.Behind, "what was delayed after the step is late")
	for _, id := range s.Doubled {
		wrong(id != s.Held || !e.Ends, id+" came twice")
	}
	wrong(s.Lost && !e.Ends, "a lease that was extended was lost")
	wrong(s.Gone == "early" && !e.Ends, "a lease ended early")
	wrong(s.Gone == "late" && !e.Late, "a lease ended late")
	wrong(s.Slowest > e.Slow+patience, fmt.Sprintf("something is late by %s", s.Slowest))
	wrong(s.Delayed == 0 || len(s.After) == 0, "nothing was delayed")
	if problems == nil {
		return nil
	}
	return errors.New(strings.Join(problems, "; ") + ": " + s.String())
}

// seen judges a phase.
func (p *phase) seen() Seen {
	s := Seen{Lost: p.leaseLost, Delayed: p.delayed}
	if p.held != nil {
		s.Held = p.held.ID
	}
	for id, j := range p.jobs {
		s.Notes = append(s.Notes, fmt.Sprintf("%s, delayed by %s, came after %s", id, j.delay, j.after()))
		switch {
		case p.vanished != nil && id == p.vanished.ID:
			s.Gone = p.gone(j)
			continue
		case len(j.times) == 0:
			s.Late = append(s.Late, id)
		case j.times[0].Sub(j.ended) < j.delay && j.times[0].Sub(j.begin) < j.delay:
			s.Early = append(s.Early, id)
		case j.delay > 0:
			s.Slowest = max(s.Slowest, j.times[0].Sub(j.ended)-j.delay)
		}
		if len(j.times) > 1 {
			s.Doubled = append(s.Doubled, id)
		}
		if !p.stepped.IsZero() && j.begin.After(p.stepped) {
			s.After = append(s.After, id)
		}
	}
	for _, ids := range [][]string{s.Early, s.Late, s.Doubled, s.After, s.Notes} {
		slices.Sort(ids)
	}
	return s
}

// after are the times from the enqueue to each arrival.
func (j *job) after() []time.Duration {
	all := make([]time.Duration, len(j.times))
	for i, at := range j.times {
		all[i] = at.Sub(j.begin).Round(time.Millisecond)
	}
	return all
}

// gone is how the lease of a job's holder ended that vanished.
func (p *phase) gone(j *job) string {
	switch {
	case len(j.times) < 2:
		return "late"
	case j.times[1].Sub(j.begin) < p.broker.Lease:
		return "early"
	}
	return ""
}
