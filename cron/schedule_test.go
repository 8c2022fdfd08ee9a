package cron

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestFunc(t *testing.T) {
	start := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	tokyo := time.FixedZone("Tokyo", 9*3600)
	var got time.Time
	s := Func("paydays", func(after time.Time) time.Time { got = after; return after.Add(1500 * time.Millisecond) }).In(tokyo)
	next, err := s.Next(start)
	if err != nil || !next.Equal(start.Add(2*time.Second)) || next.Location() != tokyo {
		t.Errorf("the tick is %s, %v, want two seconds after the start, in the zone", next, err)
	}
	if !got.Equal(start) || got.Location() != tokyo {
		t.Errorf("the function got %s, want the start in the zone", got)
	}
	if s.String() != "CRON_TZ=Tokyo paydays" {
		t.Errorf("the schedule is %q as text", s)
	}
	for name, f := range map[string]func(time.Time) time.Time{
		"not after":   func(after time.Time) time.Time { return after },
		"panicked: x": func(time.Time) time.Time { panic("x") },
	} {
		if _, err := Func("f", f).Next(start); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("the error is %v, want one with %q", err, name)
		}
	}
	if next, err := Func("never", func(time.Time) time.Time { return time.Time{} }).Next(start); err != nil || !next.IsZero() {
		t.Errorf("a function without ticks has %s, %v", next, err)
	}
}

func TestSchedulesThatAreNone(t *testing.T) {
	f := func(after time.Time) time.Time { return after.Add(time.Hour) }
	for name, s := range map[string]Schedule{
		"zero Schedule": {}, "column 1": Expr("x * * * *"), "whole seconds": Every(1500 * time.Millisecond),
		"1s to": Every(0), "366": Every(1e18), "a function": Func("f", nil), "without spaces": Func("a b", f),
		"*time.Location": Every(time.Hour).In(nil), "already": Every(time.Hour).In(time.UTC).In(time.UTC),
		"in Asia/Tokyo already": Expr("CRON_TZ=Asia/Tokyo @daily").In(time.UTC),
	} {
		_, err := s.Next(time.Now())
		if !errors.Is(err, batch.ErrInvalid) || !strings.Contains(err.Error(), name) || s.Err() == nil {
			t.Errorf("the error is %v, want one with %q", err, name)
		}
	}
}

// Ticks end with the year 9999, and begin with the year 1.
func TestEndsOfTime(t *testing.T) {
	for _, text := range []string{"0 0 1 1 *", "*/5 * * * *", "0 */2 29 2 *", "* * ? 2 MON#5", "0 0 L-28 2 *", "@every 1s", "@every 8784h"} {
		for _, zone := range []string{"", "CRON_TZ=Europe/Berlin ", "CRON_TZ=Africa/Casablanca "} {
			s := Expr(zone + text)
			for _, after := range []int64{math.MinInt64, -1e15, -6e10, 0, 4e9, 2.53e11, lastSecond - 1, lastSecond, 1e15, math.MaxInt64} {
				next, err := s.next(after)
				if err != nil || next <= after && next != never || next > lastSecond && next != never || after < 2e11 && next == never {
					t.Errorf("%q after %d: %d, %v", s, after, next, err)
				}
			}
		}
	}
	if next, err := Expr("@daily").Next(time.Time{}.Add(-1e18)); err != nil || next.Year() != 1 {
		t.Errorf("the first day is %s, %v", next, err)
	}
}

// An interval has the same ticks whenever a process starts, also before 1970.
func TestEvery(t *testing.T) {
	s := Every(7 * time.Hour)
	for _, after := range []int64{-1e9, -1, 0, 1, 7 * 3600, 1e9} {
		next, err := s.next(after)
		if err != nil || next%(7*3600) != 0 || next <= after || next > after+7*3600 {
			t.Errorf("the tick after %d is %d, %v", after, next, err)
		}
	}
}

// The ticks that are stored late are those that Missed allows.
func TestPending(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.TimeOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return v.AddDate(2026, 0, 0)
	}
	type step struct {
		now               string
		ticks, late, many string
	}
	for name, test := range map[string]struct {
		missed Missed
		from   string
		steps  []step
	}{
		"all":                      {All(time.Hour, 3), "10:00:00", []step{{"10:00:00", "10:00", "", ""}, {"10:01:59", "10:00 10:01", "", ""}, {"10:04:00", "10:02 10:03 10:04", "", "10:00 10:01"}}},
		"last":                     {Last(time.Hour), "10:00:00", []step{{"10:00:00", "10:00", "", ""}, {"10:02:00", "10:02", "", "10:00 10:01"}}},
		"skip":                     {Skip(time.Minute), "10:00:01", []step{{"10:01:00", "10:01", "", ""}, {"10:02:01", "10:02", "10:01 10:01", ""}}},
		"what was before a start":  {Last(time.Hour), "09:00:30", []step{{"10:00:30", "10:00", "", ""}}},
		"stopped for long":         {All(5*time.Minute, 100), "10:00:00", []step{{"10:01:00", "10:00 10:01", "", ""}, {"12:00:30", "11:56 11:57 11:58 11:59 12:00", "10:00 11:55", ""}}},
		"a clock that is set back": {All(time.Hour, 100), "10:00:00", []step{{"10:01:00", "10:00 10:01", "", ""}, {"09:00:00", "10:00 10:01", "", ""}, {"10:02:00", "10:00 10:01 10:02", "", ""}}},
	} {
		start := at(test.steps[0].now)
		p := newPending(Expr("* * * * *"), test.missed, at(test.from), time.Time{}, start.Add(time.Nanosecond))
		for _, s := range test.steps {
			late, many, err := p.advance(at(s.now).Unix())
			if err != nil {
				t.Fatal(err)
			}
			clock := func(list ...int64) string {
				var texts []string
				for _, tick := range list {
					texts = append(texts, time.Unix(tick, 0).UTC().Format("15:04"))
				}
				return strings.Join(texts, " ")
			}
			spans := func(p passed) string {
				if p.first == 0 {
					return ""
				}
				return clock(p.first, p.last)
			}
			if got := (step{s.now, clock(p.ticks...), spans(late), spans(many)}); got != s {
				t.Errorf("%s: %+v, want %+v", name, got, s)
			}
		}
	}
}
