package cron

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/batch-go/batch"
)

// Missed says which ticks are stored late: after a time in which no process ran, or the
// broker was away. The zero value stands for the scheduler's, which [WithMissed] sets.
//
// Nothing keeps the time of the last tick. A scheduler that starts looks at the ticks of
// the time before, as far back as Missed goes, and tries to store them like any other: the
// unique key, or the store, refuses those that were stored. So it cannot tell a tick that
// was missed from one before the schedule was first deployed; [Entry].Since can.
type Missed struct {
	within time.Duration
	most   int
}

// maxTicks is how many missed ticks are stored at most.
const maxTicks = 10_000

// Skip stores a tick that is at most late behind its time, and no other: 1 s to 366 days.
func Skip(late time.Duration) Missed { return Missed{late, maxTicks} }

// Last stores the last tick if several are missed, and if it is at most within behind its
// time: 1 s to 366 days. The others are skipped.
func Last(within time.Duration) Missed { return Missed{within, 1} }

// All stores all ticks that are at most within behind their time, one after the other: 1 s
// to 366 days. If there are more than most, 1 to 10,000, it stores the last ones, and the
// others are skipped.
func All(within time.Duration, most int) Missed { return Missed{within, most} }

// defaultMissed makes up for a deployment and for a broker that fails over, and runs
// nothing that nobody expects any more.
var defaultMissed = Last(5 * time.Minute)

// check bounds what the application gave.
func (m Missed) check() error {
	const most = 366 * 24 * time.Hour
	switch {
	case m.within < time.Second || m.within > most:
		return &batch.InvalidError{Field: "Missed", Value: m.within.String(), Bound: "1s to 366 days"}
	case m.most < 1 || m.most > maxTicks:
		return &batch.InvalidError{Field: "Missed", Value: fmt.Sprintf("%d ticks", m.most), Bound: fmt.Sprintf("1 to %d", maxTicks)}
	}
	return nil
}

// pending are the ticks of a schedule that are due and were not stored yet.
type pending struct {
	when   Schedule
	missed Missed
	// since is the moment after which the schedule begins, seen that until which ticks were
	// looked at, and ticks those of them that are left, the oldest first.
	since, seen int64
	ticks       []int64
	// following is the first tick after seen, or zero if it is not known.
	following int64
	// looking is true until the ticks from before the start were looked at: which of
	// them were stored is not known, so it is no news that some are left out.
	looking bool
}

// passed are ticks that were passed over, from the first to the last.
type passed struct{ first, last int64 }

// add puts a later tick in. The zero value has none.
func (p *passed) add(tick int64) {
	if p.first == 0 {
		p.first = tick
	}
	p.last = tick
}

// newPending begins with the ticks from a moment on, but not before since. If that is in the
// past, those from then on are missed.
func newPending(when Schedule, missed Missed, from, since, now time.Time) *pending {
	if from.Before(since) {
		from = since
	}
	return &pending{when: when, missed: missed, since: before(since), seen: before(from), looking: from.Before(now)}
}

// before is the last second before a moment: a tick of that moment comes after it.
func before(t time.Time) int64 {
	if t.Nanosecond() == 0 {
		return t.Unix() - 1
	}
	return t.Unix()
}

// keyAtLeast is how long a key is remembered even if it is needed for less: a clock that is
// further off than was said does no harm then, and it costs little.
const keyAtLeast = time.Hour

// setBackMost is by how much a clock may be set back and is waited for: none of the ticks
// comes again. By more it must have been wrong, perhaps by years.
const setBackMost = int64(keyAtLeast / time.Second)

// setBack begins anew if the clock was set back by more than that, and returns by how much,
// or zero. The ticks that follow count again; the keys of those that were stored are
// mostly still there.
func (p *pending) setBack(now int64) time.Duration {
	back := p.seen - max(now, p.since)
	if back <= setBackMost {
		return 0
	}
	p.seen, p.following = p.seen-back, 0
	p.ticks = slices.DeleteFunc(p.ticks, func(tick int64) bool { return tick > now })
	return time.Duration(min(back, math.MaxInt64/int64(time.Second))) * time.Second
}

// next is the first tick that was not looked at, or never.
func (p *pending) next() (int64, error) {
	if p.following == 0 {
		tick, err := p.when.next(p.seen)
		if err != nil {
			return 0, err
		}
		p.following = tick
	}
	return p.following, nil
}

// advance looks at the ticks until now. It returns those that are left out: they are too
// late, or there are too many.
func (p *pending) advance(now int64) (late, many passed, err error) {
	oldest := now - int64(p.missed.within/time.Second)
	if err = p.leap(oldest, &late); err != nil {
		return late, many, err
	}
	for {
		tick, err := p.next()
		if err != nil {
			return late, many, err
		}
		if tick > now {
			break
		}
		p.ticks = append(p.ticks, tick)
		p.seen, p.following = tick, 0
		if over := len(p.ticks) - p.missed.most; over > 0 {
			if !p.looking {
				many.add(p.ticks[0])
			}
			p.ticks = p.ticks[1:]
		}
	}
	p.looking = false
	for len(p.ticks) > 0 && p.ticks[0] < oldest {
		late.add(p.ticks[0])
		p.ticks = p.ticks[1:]
	}
	return late, many, nil
}

// leap passes over what is too late already: a process that was stopped for a month need
// not go through it second by second.
func (p *pending) leap(oldest int64, late *passed) error {
	tick, err := p.next()
	if err != nil || tick >= oldest {
		return err
	}
	for _, t := range p.ticks {
		late.add(t)
	}
	p.ticks = nil
	late.add(tick)
	late.last = oldest - 1
	p.seen, p.following = oldest-1, 0
	return nil
}

// done takes the oldest tick out.
func (p *pending) done() { p.ticks = p.ticks[1:] }
