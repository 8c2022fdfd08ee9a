package batchtest

import (
	"errors"
	"fmt"
	"time"
)

// scene is what the queues of a drain have at a moment of rest.
type scene struct {
	waiting, scheduled, running int64
	// due is when the first scheduled job is, zero if there is none.
	due time.Time
	// idle says where jobs wait, empty if none do.
	idle string
	// ended is how many jobs have ended so far.
	ended int
}

// add adds what another queue has.
func (s *scene) add(other scene) {
	s.waiting += other.waiting
	s.scheduled += other.scheduled
	s.running += other.running
	if s.due.IsZero() || !other.due.IsZero() && other.due.Before(s.due) {
		s.due = other.due
	}
	switch {
	case s.idle == "":
		s.idle = other.idle
	case other.idle != "":
		s.idle += "; " + other.idle
	}
}

// quiet tells whether there is nothing left to do.
func (s *scene) quiet() bool { return s.waiting+s.scheduled+s.running == 0 }

const (
	// idleFor is for how long of fake time jobs may wait that nobody takes, while none runs and none is scheduled. A
	// worker whose call to the driver failed tries again within seconds.
	idleFor = time.Hour
	// runFor is for how long jobs may run without one that ends. The timeout of a job is 30 days at most, and a handler
	// is stuck an hour later at most.
	runFor = 31 * 24 * time.Hour
	// lastYear is when a drain gives up. A bubble begins in the year 2000, and Go's clocks end in 2262.
	lastYear = 2200
)

// pace says how long a drain sleeps before it looks again. The zero value is that of one that begins.
type pace struct {
	last  scene
	since time.Time // when the scene last changed
}

// next is how long to sleep after a scene that is not quiet. It is an error when nothing can be waited for.
func (p *pace) next(s scene) (time.Duration, error) {
	now := time.Now()
	if s.ended != p.last.ended || s.waiting != p.last.waiting || s.scheduled != p.last.scheduled || s.running != p.last.running || p.since.IsZero() {
		p.since = now
	}
	p.last = s
	waited := now.Sub(p.since)
	// What runs may end at any time. A step that grows with the wait is a hundredth late at most, and there are few.
	step := max(time.Millisecond, waited/100)
	switch {
	case now.Year() >= lastYear:
		return 0, fmt.Errorf("it is the year %d in fake time, and there are still jobs", lastYear)
	case s.running > 0 && waited > runFor:
		return 0, errors.New("jobs run, or are held by nobody, and none has ended for 31 days")
	case s.running > 0:
	case !s.due.IsZero():
		return max(s.due.Sub(now), time.Millisecond), nil
	case waited > idleFor:
		return 0, errors.New(s.idle + ", and no worker takes what waits")
	}
	if !s.due.IsZero() && s.due.After(now) {
		step = min(step, s.due.Sub(now))
	}
	return step, nil
}
