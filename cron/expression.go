package cron

import (
	"math/bits"
	"time"
)

// expression is a parsed expression. Its sets have a bit for each value.
type expression struct {
	second, minute, hour, month uint64
	days                        days
	// wallClock is whether the hour's field names hours, with neither * nor /.
	wallClock bool
}

// days are the days of an expression, by its fields of the day and of the weekday.
type days struct {
	inMonth, fromEnd, inWeek uint64
	nth                      [7]uint8
	// both is whether a day has to be in both fields, because one of them has a *.
	// Otherwise one is enough.
	both bool
}

// has tells whether a day, of a month with so many days, is one of them.
func (d *days) has(day, length int, weekday time.Weekday) bool {
	inMonth := (d.inMonth>>day|d.fromEnd>>(length-day))&1 != 0
	nth := d.nth[weekday]
	inWeek := d.inWeek>>weekday&1 != 0 || nth>>((day-1)/7+1)&1 != 0 || nth&lastWeek != 0 && day+7 > length
	if d.both {
		return inMonth && inWeek
	}
	return inMonth || inWeek
}

const (
	daySeconds = 24 * 60 * 60
	// cycle is after how many years the calendar repeats, weekdays included. A day that
	// is not found by then does not exist.
	cycle = 400
)

// nextWall is the first time at or after from that the expression says, by a clock on the
// wall without changes. Times are in seconds since 1970, as if the clock were in UTC.
func (e *expression) nextWall(from int64) (int64, bool) {
	day := floor(from, daySeconds)
	start := int(from - day*daySeconds)
	year, month, date := time.Unix(day*daySeconds, 0).UTC().Date()
	for last := year + cycle; year <= last; {
		if e.month>>month&1 == 0 {
			year, month, date = nextMonth(year, month)
			start = 0
			continue
		}
		first := time.Date(year, month, 1, 0, 0, 0, 0, time.UTC)
		length := monthLength(year, month)
		for ; date <= length; date++ {
			weekday := (first.Weekday() + time.Weekday(date-1)) % 7
			if e.days.has(date, length, weekday) {
				if at, ok := e.inDay(start); ok {
					return first.Unix() + int64(date-1)*daySeconds + int64(at), true
				}
			}
			start = 0
		}
		year, month, date = nextMonth(year, month)
	}
	return 0, false
}

// nextMonth is the first day of the month after this one.
func nextMonth(year int, month time.Month) (int, time.Month, int) {
	if month == time.December {
		return year + 1, time.January, 1
	}
	return year, month + 1, 1
}

// monthLength is how many days the month has.
func monthLength(year int, month time.Month) int {
	return time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// inDay is the first time of a day, in seconds, that is at or after from.
func (e *expression) inDay(from int) (int, bool) {
	hour, minute, second := from/3600, from/60%60, from%60
	for {
		h := nextBit(e.hour, hour)
		if h > hour {
			minute, second = 0, 0
		}
		if h > 23 {
			return 0, false
		}
		m := nextBit(e.minute, minute)
		if m > minute {
			second = 0
		}
		if m > 59 {
			hour, minute, second = h+1, 0, 0
			continue
		}
		if s := nextBit(e.second, second); s <= 59 {
			return h*3600 + m*60 + s, true
		}
		hour, minute, second = h, m+1, 0
	}
}

// nextBit is the first bit of the set from bit from on, 64 if there is none.
func nextBit(set uint64, from int) int {
	return bits.TrailingZeros64(set >> from << from)
}

// floor divides and rounds down, also below zero.
func floor(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
