package cron

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch"
)

// TestExpressions has the first ticks after Thursday, 1 January 2026, in UTC.
func TestExpressions(t *testing.T) {
	for text, want := range map[string]string{
		"* * * * *":                    "2026-01-01T00:01:00Z 2026-01-01T00:02:00Z",
		"*/15 * * * *":                 "2026-01-01T00:15:00Z 2026-01-01T00:30:00Z",
		"5/20 3 * * *":                 "2026-01-01T03:05:00Z 2026-01-01T03:25:00Z",
		"0 9-17/4 * * *":               "2026-01-01T09:00:00Z 2026-01-01T13:00:00Z",
		"0 0 1,15 * *":                 "2026-01-15T00:00:00Z 2026-02-01T00:00:00Z",
		"30 7 * * MON-FRI":             "2026-01-01T07:30:00Z 2026-01-02T07:30:00Z",
		"30 7 * * fri-sun":             "2026-01-02T07:30:00Z 2026-01-03T07:30:00Z",
		"0 0 * * 0":                    "2026-01-04T00:00:00Z 2026-01-11T00:00:00Z",
		"0 0 * * 7":                    "2026-01-04T00:00:00Z 2026-01-11T00:00:00Z",
		"0 0 * * 5-7":                  "2026-01-02T00:00:00Z 2026-01-03T00:00:00Z",
		"0 0 * JUL,dec *":              "2026-07-01T00:00:00Z 2026-07-02T00:00:00Z",
		"0 0 L * *":                    "2026-01-31T00:00:00Z 2026-02-28T00:00:00Z",
		"0 0 L-1,1 * ?":                "2026-01-30T00:00:00Z 2026-02-01T00:00:00Z",
		"0 0 ? * FRI#2":                "2026-01-09T00:00:00Z 2026-02-13T00:00:00Z",
		"0 0 * * 5#5":                  "2026-01-30T00:00:00Z 2026-05-29T00:00:00Z",
		"0 0 * * friL":                 "2026-01-30T00:00:00Z 2026-02-27T00:00:00Z",
		"0 0 * * 7L":                   "2026-01-25T00:00:00Z 2026-02-22T00:00:00Z",
		"0 0 13 * FRI":                 "2026-01-02T00:00:00Z 2026-01-09T00:00:00Z",
		"0 0 */2 * FRI":                "2026-01-09T00:00:00Z 2026-01-23T00:00:00Z",
		"0 0 29 2 *":                   "2028-02-29T00:00:00Z 2032-02-29T00:00:00Z",
		"0 0 * 2 FRI#5":                "2036-02-29T00:00:00Z 2064-02-29T00:00:00Z",
		"30 * * * * *":                 "2026-01-01T00:00:30Z 2026-01-01T00:01:30Z",
		"*/20 59 23 31 12 *":           "2026-12-31T23:59:00Z 2026-12-31T23:59:20Z",
		"@hourly":                      "2026-01-01T01:00:00Z 2026-01-01T02:00:00Z",
		"@Daily":                       "2026-01-02T00:00:00Z 2026-01-03T00:00:00Z",
		"@weekly":                      "2026-01-04T00:00:00Z 2026-01-11T00:00:00Z",
		"@monthly":                     "2026-02-01T00:00:00Z 2026-03-01T00:00:00Z",
		"@yearly":                      "2027-01-01T00:00:00Z 2028-01-01T00:00:00Z",
		"@every 1h30m":                 "2026-01-01T01:30:00Z 2026-01-01T03:00:00Z",
		"CRON_TZ=Asia/Tokyo 0 9 * * *": "2026-01-02T09:00:00+09:00 2026-01-03T09:00:00+09:00",
		"TZ=Asia/Kolkata @every 1h":    "2026-01-01T06:00:00+05:30 2026-01-01T07:00:00+05:30",
		"  0\t0   1 * * ":              "2026-02-01T00:00:00Z 2026-03-01T00:00:00Z",
		"0 0 1 * *\r\n":                "2026-02-01T00:00:00Z 2026-03-01T00:00:00Z",
	} {
		s, err := Parse(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		at := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
		var got []string
		for range 2 {
			if at, err = s.Next(at); err != nil {
				t.Fatal(err)
			}
			got = append(got, at.Format(time.RFC3339))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %s, want %s", text, strings.Join(got, " "), want)
		}
		again, err := Parse(s.String())
		if err != nil || again.String() != s.String() {
			t.Errorf("%q is %q as text, and that is %q, %v", text, s, again, err)
		}
	}
}

// TestMisspellings has the place of each mistake, and a part of what is said of it.
func TestMisspellings(t *testing.T) {
	for _, test := range []struct {
		text   string
		column int
		field  string
		says   string
	}{
		{"", 1, "", "want five fields"},
		{" \t", 3, "", "want five fields"},
		{"* * * *", 8, "", "ends after 4 fields"},
		{"* * * * * * *", 13, "", "more than six fields"},
		{"60 * * * *", 1, "minute", "from 0 to 59"},
		{"* 24 * * *", 3, "hour", "from 0 to 23"},
		{"60 0 0 * * *", 1, "second", "from 0 to 59"},
		{"0 0 0 * *", 5, "day", "from 1 to 31"},
		{"0 0 1-32 * *", 7, "day", "from 1 to 31"},
		{"0 0 30 2 *", 5, "day", "no year has such a day"},
		{"0 0 31 4,6,9,11 *", 5, "day", "no year has such a day"},
		{"0 0 1 13 *", 7, "month", "from 1 to 12"},
		{"0 0 1 Januar *", 7, "month", "none of JAN, FEB"},
		{"0 0 * * MON,TUES", 13, "weekday", "none of SUN, MON"},
		{"0 0 * * 8", 9, "weekday", "from 0 to 7"},
		{"0 0 * * MON#6", 13, "weekday", "from 1 to 5"},
		{"0 0 * * MONX", 9, "weekday", "none of SUN"},
		{"0 0 * * 1X", 10, "weekday", "want L, or #"},
		{"0 0 * * L", 9, "weekday", "none of SUN"},
		{"0 0 15W * *", 7, "day", "not supported"},
		{"0 0 LW * *", 6, "day", "unexpected after L"},
		{"0 0 L-31 * *", 7, "day", "from 1 to 30"},
		{"*/0 * * * *", 3, "minute", "a step of 0"},
		{"*/60 * * * *", 3, "minute", "from 1 to 59"},
		{"*/ * * * *", 3, "minute", "a step is missing"},
		{"/5 * * * *", 1, "minute", "missing before the /"},
		{"1,,2 * * * *", 3, "minute", "a value is missing"},
		{"1- * * * *", 3, "minute", "end of the range is missing"},
		{"0 22-5 * * *", 6, "hour", "ends before it begins"},
		{"0 -5 * * *", 3, "hour", "no number from 0 to 23"},
		{"*5 * * * *", 2, "minute", "unexpected"},
		{"5x * * * *", 2, "minute", "unexpected"},
		{"1/2/3 * * * *", 4, "minute", "unexpected in a step"},
		{"? * * * *", 1, "minute", "no number"},
		{"99999999999999999999 * * * *", 1, "minute", "from 0 to 59"},
		{"@dayly", 1, "", "is unknown"},
		{"@reboot", 1, "", "is unknown"},
		{"@daily 5", 8, "", "more than @daily takes"},
		{"@every", 7, "", "want a duration"},
		{"@every 1.5s", 8, "", "whole seconds"},
		{"@every -1h", 8, "", "no interval"},
		{"@every 1h 5m", 11, "", "more than @every takes"},
		{"CRON_TZ=Europe/Berlon 0 0 * * *", 9, "zone", "no time zone"},
		{"TZ=Local 0 0 * * *", 4, "zone", "another zone on each machine"},
		{"TZ= 0 0 * * *", 4, "zone", "want a name"},
		{"CRON_TZ=UTC", 12, "", "want five fields"},
		{strings.Repeat("*", 2000), 513, "", "longer than"},
		{"0 0 * * \x00\xff", 9, "weekday", "no number"},
	} {
		_, err := Parse(test.text)
		var wrong *ParseError
		if !errors.As(err, &wrong) || !errors.Is(err, batch.ErrInvalid) {
			t.Errorf("%q: %v, want a ParseError", test.text, err)
			continue
		}
		if wrong.Offset+1 != test.column || wrong.Field != test.field || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%q: %v; want column %d, field %q and %q", test.text, err, test.column, test.field, test.says)
		}
	}
}

// TestParseErrorText is the text of the documentation.
func TestParseErrorText(t *testing.T) {
	const want = `
cron: "0 0 1 Januar *", column 7: month: "Januar" is none of JAN, FEB, MAR, APR, MAY, JUN, JUL, AUG, SEP, OCT, NOV, DEC, and no number from 1 to 12
`
	if _, err := Parse("0 0 1 Januar *"); err == nil || err.Error() != strings.TrimSpace(want) {
		t.Errorf("the error is %v, want %s", err, strings.TrimSpace(want))
	}
}

// TestNextWallOnRandomSets compares nextWall with going through the seconds.
func TestNextWallOnRandomSets(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	some := func(low, high, n int) (set uint64) {
		for range n {
			set |= 1 << (low + random.IntN(high-low+1))
		}
		return set
	}
	for range 300 {
		e := &expression{second: some(0, 59, 2), minute: some(0, 59, 3), hour: some(0, 23, 3), month: some(1, 12, 8)}
		e.days = days{inMonth: some(1, 31, 6), inWeek: some(0, 6, 2), fromEnd: some(0, 5, random.IntN(2)), both: random.IntN(2) == 0}
		from := time.Date(2020+random.IntN(20), time.Month(1+random.IntN(12)), 1+random.IntN(28), random.IntN(24), random.IntN(60), random.IntN(60), 0, time.UTC).Unix()
		got, ok := e.nextWall(from)
		if !ok {
			if e.days.inMonth&(1<<29-1) != 0 {
				t.Errorf("%+v: nothing after %d", e, from)
			}
			continue
		}
		for at := from; at <= min(got, from+40*daySeconds); {
			c := time.Unix(at, 0).UTC()
			has := e.month>>c.Month()&1 != 0 && e.days.has(c.Day(), monthLength(c.Year(), c.Month()), c.Weekday())
			if !has {
				at += daySeconds - at%daySeconds
				continue
			}
			if (e.hour>>c.Hour())&(e.minute>>c.Minute())&(e.second>>c.Second())&1 != 0 {
				if at != got {
					t.Errorf("%+v after %d: %d, want %d", e, from, got, at)
				}
				break
			}
			at++
		}
	}
}

// FuzzParse finds texts that panic or hang, and schedules that stand still.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"*/5 1-3 L * MON#2", "@every 5m", "CRON_TZ=Europe/Berlin 0 2 * * *", "0 0 29 2 7L", "1,2-3/4 * ? JAN SUN"} {
		f.Add(text, int64(1774746000))
	}
	f.Fuzz(func(t *testing.T, text string, after int64) {
		s, err := Parse(text)
		if err != nil {
			var wrong *ParseError
			if !errors.As(err, &wrong) || wrong.Offset < 0 || wrong.Offset > len(text) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		again, err := Parse(s.String())
		if err != nil || again.String() != s.String() {
			t.Fatalf("%q is %q as text, and that is %q, %v", text, s, again, err)
		}
		next, err := s.next(after)
		if err != nil || next <= after && next != never {
			t.Fatalf("%q after %d: %d, %v", text, after, next, err)
		}
	})
}
