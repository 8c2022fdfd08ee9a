package cron

import (
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/internal/wire"
)

// Schedule says when a job is due. Make it with [Parse], [Expr], [Every] or [Func]. Its
// ticks follow from it and the clock alone, so that all processes that have it agree on
// them. It does not change, and is safe for concurrent use. The zero value is none, and is
// refused.
type Schedule struct {
	// text is the expression, and zone its time zone, nil for UTC. Together they are
	// what schedules are compared by.
	text string
	zone *time.Location
	rule rule
	err  error // a mistake of the expression
}

// rule finds ticks, in seconds since 1970.
type rule interface {
	// next is the first tick after a moment of the years 1 to 9999, or never.
	next(after int64, zone *time.Location) (int64, error)
}

// maxInterval bounds the interval of [Every].
const maxInterval = 366 * 24 * time.Hour

// Every is due each time that d has elapsed since midnight of 1 January 1970 in the time
// zone: every process has the same ticks, and a restart does not move them. The clock's
// changes do not move them either: 24 hours are not always a day, for which there is
// @daily. d is of whole seconds, 1 s to 366 days; otherwise there is an error that wraps
// [batch.ErrInvalid] when the schedule is used.
func Every(d time.Duration) Schedule {
	return Schedule{text: "@every " + d.String(), rule: interval(d / time.Second), err: checkInterval(d)}
}

// checkInterval bounds an interval.
func checkInterval(d time.Duration) error {
	if d < time.Second || d > maxInterval || d%time.Second != 0 {
		return &batch.InvalidError{Field: "interval", Value: d.String(), Bound: "whole seconds, 1s to 366 days"}
	}
	return nil
}

// interval is a number of seconds.
type interval int64

// next implements rule.
func (d interval) next(after int64, zone *time.Location) (int64, error) {
	start := time.Date(1970, time.January, 1, 0, 0, 0, 0, zone).Unix()
	return start + (floor(after-start, int64(d))+1)*int64(d), nil
}

// Func is due when a function says so: next returns the first tick after a moment, or the
// zero time if there is none. It gets the moment in the schedule's time zone. It must
// depend on nothing but the moment, as all processes have to agree, may be called
// concurrently, and returns at once: its schedule waits for it, also to stop. A tick is a
// whole second: one that is not counts as the second after it.
//
// Name stands for the function where schedules are compared: give it another one when the
// function changes. It is 1 to 128 bytes of printable ASCII without spaces.
func Func(name string, next func(after time.Time) time.Time) Schedule {
	s := Schedule{text: name, rule: function(next)}
	switch {
	case next == nil:
		s.err = &batch.InvalidError{Field: "function of a schedule", Value: "nil", Bound: "a function"}
	case !wire.IsToken(name):
		s.err = &batch.InvalidError{Field: "name of a schedule's function", Value: shorten(name), Bound: "1 to 128 bytes of printable ASCII without spaces"}
	}
	return s
}

// shorten quotes a text for an error, or its beginning.
func shorten(text string) string {
	const most = 80
	if len(text) > most {
		return fmt.Sprintf("%q...", text[:most])
	}
	return fmt.Sprintf("%q", text)
}

// function is what [Func] was given.
type function func(time.Time) time.Time

// errNoProgress is what a function is told that would be asked the same for ever.
var errNoProgress = errors.New("cron: the function of the schedule returned a tick that is not after the moment that it was given")

// next implements rule. What the function does wrong is an error.
func (f function) next(after int64, zone *time.Location) (tick int64, err error) {
	defer func() {
		if r := recover(); r != nil {
			tick, err = 0, fmt.Errorf("cron: the function of the schedule panicked: %v", r)
		}
	}()
	at := f(time.Unix(after, 0).In(zone))
	if at.IsZero() {
		return never, nil
	}
	tick = at.Unix()
	if at.Nanosecond() > 0 {
		tick++
	}
	if tick <= after {
		return 0, errNoProgress
	}
	return tick, nil
}

// In is the same schedule in a time zone. The default is UTC, and not the zone of the
// machine, because machines differ. A zone of nil and a second zone are errors that wrap
// [batch.ErrInvalid] when the schedule is used.
func (s Schedule) In(zone *time.Location) Schedule {
	switch {
	case s.err != nil:
	case zone == nil:
		s.err = &batch.InvalidError{Field: "time zone of schedule " + shorten(s.text), Value: "nil", Bound: "a *time.Location"}
	case s.zone != nil:
		s.err = &batch.InvalidError{Field: "time zone of schedule " + shorten(s.text), Value: zone.String(), Bound: "the only one: it is in " + s.zone.String() + " already"}
	}
	s.zone = zone
	return s
}

// Err is what is wrong with the schedule: nil, a [*ParseError] or another error that wraps
// [batch.ErrInvalid].
func (s Schedule) Err() error {
	if s.err == nil && s.rule == nil {
		return &batch.InvalidError{Field: "schedule", Value: "the zero Schedule", Bound: "made by Parse, Expr, Every or Func"}
	}
	return s.err
}

// String is the schedule as text, in the form that [Parse] reads if it is no function, and
// its zone one of the system's.
func (s Schedule) String() string {
	if s.zone == nil {
		return s.text
	}
	return "CRON_TZ=" + s.zone.String() + " " + s.text
}

// same tells whether two schedules have the same ticks, by what stands for them. Zones of the
// system have names that tell them apart; others need not.
func (s *Schedule) same(other *Schedule) bool {
	now := time.Now()
	_, offset := now.In(s.location()).Zone()
	_, others := now.In(other.location()).Zone()
	return s.String() == other.String() && offset == others
}

// Next is the first tick after a moment, in the schedule's time zone, or the zero time if
// there is none. It fails if the schedule is not valid, or its function misbehaves.
func (s Schedule) Next(after time.Time) (time.Time, error) {
	if err := s.Err(); err != nil {
		return time.Time{}, err
	}
	tick, err := s.next(after.Unix())
	if err != nil || tick == never {
		return time.Time{}, err
	}
	return s.time(tick), nil
}

// next is the first tick after a moment, or never. There are none before the year 1, and
// none after 9999.
func (s *Schedule) next(after int64) (int64, error) {
	if after >= lastSecond {
		return never, nil
	}
	tick, err := s.rule.next(max(after, firstSecond), s.location())
	if err == nil && tick > lastSecond {
		tick = never
	}
	return tick, err
}

// time is a tick in the schedule's time zone.
func (s *Schedule) time(tick int64) time.Time { return time.Unix(tick, 0).In(s.location()) }

// location is the schedule's time zone.
func (s *Schedule) location() *time.Location {
	if s.zone == nil {
		return time.UTC
	}
	return s.zone
}
