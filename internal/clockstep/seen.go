// Package clockstep has what all drivers' tests of clocks share: delays and leases that are under way on a broker
// while somebody sets its time of day an hour ahead, and back again.
package clockstep

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Seen is what became of delays and leases while the clock was set.
type Seen struct {
	Delayed int      // how many jobs were delayed
	Early   []string // delayed jobs that came before their time
	Late    []string // those that did not come in time, nor in the seconds after that
	Doubled []string // those that came again, though they were settled or held
	Gone    string   // how the lease of a vanished holder ended: in time, "early" or "late"
	Lost    bool     // the lease of a job that was extended all the time was lost
	notes   []string
}

// String is what was seen, with when each job came.
func (s Seen) String() string {
	return fmt.Sprintf("of %d jobs early %v, late %v, doubled %v, vanished %q, lease lost %v\n\t%s", s.Delayed, s.Early, s.Late, s.Doubled, s.Gone, s.Lost, strings.Join(s.notes, "\n\t"))
}

// seen judges a phase.
func (p *phase) seen() Seen {
	s := Seen{Lost: p.leaseLost, Delayed: p.delayed}
	for id, j := range p.jobs {
		s.notes = append(s.notes, fmt.Sprintf("%s, delayed by %s, came after %s", id, j.delay, j.after()))
		switch {
		case p.vanished != nil && id == p.vanished.ID:
			s.Gone = p.gone(j)
			continue
		case len(j.times) == 0:
			s.Late = append(s.Late, id)
		case j.times[0].Sub(j.ended) < j.delay && j.times[0].Sub(j.begin) < j.delay:
			s.Early = append(s.Early, id)
		}
		if len(j.times) > 1 {
			s.Doubled = append(s.Doubled, id)
		}
	}
	for _, ids := range [][]string{s.Early, s.Late, s.Doubled, s.notes} {
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
