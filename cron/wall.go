package cron

import (
	"math"
	"time"
)

// The clock on the wall of a time zone is not in step with time that elapses: it jumps
// forward, and back. What it shows at a moment is called a wall time here. Both are in
// seconds since 1970, wall times as if the clock were in UTC.

// never is the tick of a schedule that has no more.
const never = math.MaxInt64

// The years in which ticks are looked for. Package time counts days beyond them no longer
// as calendars do.
var (
	firstSecond = time.Date(1, time.January, 1, 0, 0, 0, 0, time.UTC).Unix()
	lastSecond  = time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC).Unix()
)

// stretch is a time in which the clock on the wall makes no jump: from start until before
// end it is offset ahead of UTC.
type stretch struct{ offset, start, end int64 }

// stretchAt is the stretch that t is in, or a part of it.
func stretchAt(zone *time.Location, t int64) stretch {
	at := time.Unix(t, 0).In(zone)
	_, offset := at.Zone()
	s := stretch{int64(offset), math.MinInt64, math.MaxInt64}
	start, end := at.ZoneBounds()
	if !start.IsZero() {
		s.start = min(start.Unix(), t)
	}
	if !end.IsZero() {
		s.end = end.Unix()
	}
	if s.end <= t {
		// On the last day of a leap year, where the zone's rule for the future applies,
		// ZoneBounds returns the beginning of that day (tzset in time/zoneinfo.go, as of Go
		// 1.26: a year ends after 365 days there). The year's changes are all before it.
		s.end = time.Date(at.UTC().Year()+1, time.January, 1, 0, 0, 0, 0, time.UTC).Unix()
	}
	return s
}

// lookBack is longer than any clock was ever set back, and than a pair of changes takes:
// the most is a day, where the date line moved.
const lookBack = 3 * daySeconds

// shown is the latest wall time that the clock has shown or jumped past until t.
func shown(zone *time.Location, t int64) int64 {
	s := stretchAt(zone, t)
	latest := t + s.offset
	for s.start > t-lookBack {
		before := s.start - 1
		s = stretchAt(zone, before)
		latest = max(latest, before+s.offset)
	}
	return latest
}

// reached is the first moment after t at which the clock shows wall, or has jumped past it.
func reached(zone *time.Location, t, wall int64) int64 {
	for t++; ; {
		s := stretchAt(zone, t)
		if at := max(t, wall-s.offset); at < s.end {
			return at
		}
		t = s.end
	}
}

// next is the first tick after a moment.
//
// If the expression names its hours, they are times on the wall, and each fires when the
// clock first shows it or jumps past it: what the clock skips fires at the change, and
// what it shows a second time does not fire again.
//
// Otherwise each moment fires at which the clock shows a time of the expression, so that
// no tick is missing while an hour is repeated, and none is added where one is skipped.
func (e *expression) next(after int64, zone *time.Location) (int64, error) {
	if e.wallClock {
		wall, ok := e.nextWall(shown(zone, after) + 1)
		if !ok {
			return never, nil
		}
		return reached(zone, after, wall), nil
	}
	for t := after + 1; t <= lastSecond; {
		s := stretchAt(zone, t)
		wall, ok := e.nextWall(t + s.offset)
		if !ok {
			return never, nil
		}
		if at := wall - s.offset; at < s.end {
			return at, nil
		}
		t = s.end
	}
	return never, nil
}
