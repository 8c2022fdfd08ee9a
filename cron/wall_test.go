package cron

import (
	"archive/zip"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"
)

// zones are all time zones that package time/tzdata has, without those that are other
// names of one of them.
func zones(t *testing.T) map[string]*time.Location {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	file, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(root)), "lib", "time", "zoneinfo.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	list, seen, names := make(map[string]*time.Location), make(map[string]bool), 0
	for _, f := range file.File {
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		names++
		if seen[string(data)] {
			continue
		}
		seen[string(data)] = true
		if list[f.Name], err = time.LoadLocationFromTZData(f.Name, data); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d zones of %d names", len(list), names)
	if len(list) < 300 {
		t.Fatal("these are not all zones")
	}
	return list
}

// changes are the moments between two years at which the zone's clock is set. They are
// found by looking once a day, and between two looks that differ.
func changes(zone *time.Location, first, last int) []int64 {
	offset := func(at int64) int64 { return shows(zone, at) - at }
	from, to := time.Date(first, time.January, 1, 0, 0, 0, 0, time.UTC).Unix(), time.Date(last+1, time.January, 1, 0, 0, 0, 0, time.UTC).Unix()
	var list []int64
	const step = 24 * 3600
	for at, before := from, offset(from); at < to; at += step {
		after := offset(at + step)
		if after == before {
			continue
		}
		n := sort.Search(step, func(n int) bool { return offset(at+int64(n)) != before })
		list, before = append(list, at+int64(n)), after
	}
	return list
}

// shows is what the clock of a zone shows, in seconds since 1970.
func shows(zone *time.Location, at int64) int64 {
	_, offset := time.Unix(at, 0).In(zone).Zone()
	return at + int64(offset)
}

// minutes is an expression of minutes as the tests understand it: a predicate on what a
// clock shows.
type minutes struct {
	text      string
	wallClock bool
	matches   func(hour, minute int) bool
}

// aroundChanges are expressions that have ticks around most changes.
var aroundChanges = []minutes{
	{"30 2 * * *", true, func(h, m int) bool { return h == 2 && m == 30 }},
	{"0 0-4,22,23 * * *", true, func(h, m int) bool { return (h <= 4 || h >= 22) && m == 0 }},
	{"15,45 0-23 * * *", true, func(h, m int) bool { return m%30 == 15 }},
	{"*/20 1,2,3 * * *", true, func(h, m int) bool { return h >= 1 && h <= 3 && m%20 == 0 }},
	{"*/30 * * * *", false, func(h, m int) bool { return m%30 == 0 }},
	{"30 */2 * * *", false, func(h, m int) bool { return m == 30 && h%2 == 0 }},
	{"45 1-23/3 * * *", false, func(h, m int) bool { return m == 45 && h%3 == 1 }},
}

// ticks are the ticks of the rule between two moments, found by looking at each of them: a
// clock on the wall is watched, and the highest that it has shown. set is when the clock was
// set the last time before.
func (e minutes) ticks(zone *time.Location, set, from, to int64) []int64 {
	has := func(wall int64) bool {
		return wall%60 == 0 && e.matches(int(wall/3600%24), int(wall/60%60))
	}
	var list []int64
	highest := shows(zone, from-1)
	if set > from-26*3600 { // what the clock has shown before may come again
		for at := set - 300; at < from; at += 300 {
			highest = max(highest, shows(zone, at))
		}
	}
	step := int64(60)
	if from%60 != 0 || shows(zone, from)%60 != 0 || shows(zone, to)%60 != 0 {
		step = 30 // offsets have been of half minutes at the least
	}
	for at := from; at <= to; at += step {
		now := shows(zone, at)
		fires := false
		if e.wallClock {
			for wall := floor(highest, 60)*60 + 60; wall <= now && !fires; wall += 60 {
				fires = has(wall)
			}
		} else {
			fires = has(now)
		}
		highest = max(highest, now)
		if fires {
			list = append(list, at)
		}
	}
	return list
}

// TestNextAroundEveryChange compares Next with the rule, on both sides of each time that
// some zone's clock was set since 1970, or will be until 2038: from tick to tick, and from
// moments between them, as of a process that starts there.
func TestNextAroundEveryChange(t *testing.T) {
	t.Parallel()
	parsed := make([]Schedule, len(aroundChanges))
	for i, e := range aroundChanges {
		parsed[i] = Expr(e.text)
	}
	checked := 0
	for name, zone := range zones(t) {
		list := changes(zone, 1970, 2038)
		var set int64
		for n, change := range list {
			// One of the expressions for each change: all of them meet all sorts of changes,
			// as there are many zones.
			i := n % len(aroundChanges)
			s := parsed[i].In(zone)
			from, to := change-90*60, change+150*60
			want := aroundChanges[i].ticks(zone, set, from, to)
			set = change
			got := ticksBetween(t, s, from, to)
			if !slices.Equal(got, want) {
				t.Errorf("%s, %q around %s: ticks %s, want %s", name, aroundChanges[i].text,
					time.Unix(change, 0).In(zone), show(got, zone), show(want, zone))
			}
			askBetween(t, s, from, to, want)
			checked++
		}
	}
	t.Logf("%d comparisons", checked)
	if checked < 1000 {
		t.Error("too few changes were found")
	}
}

// askBetween asks for the next tick at moments that are none, and wants the first of the
// ticks that is after them.
func askBetween(t *testing.T, s Schedule, from, to int64, ticks []int64) {
	t.Helper()
	for after := from; after < to; after += 997 {
		next, err := s.next(after)
		i, _ := slices.BinarySearch(ticks, after+1)
		if err != nil || i < len(ticks) && next != ticks[i] || i == len(ticks) && next <= to {
			t.Errorf("%s: the tick after %s is %s, %v; the ticks are %s", s, time.Unix(after, 0).In(s.zone), s.time(next), err, show(ticks, s.zone))
		}
	}
}

// ticksBetween are the ticks from one moment to another, both included.
func ticksBetween(t *testing.T, s Schedule, from, to int64) []int64 {
	t.Helper()
	var list []int64
	for at := from - 1; ; {
		next, err := s.next(at)
		if err != nil {
			t.Fatal(err)
		}
		if next > to {
			return list
		}
		if next <= at {
			t.Fatalf("%s: the tick after %d is %d", s, at, next)
		}
		list, at = append(list, next), next
	}
}

// show writes ticks for a message.
func show(ticks []int64, zone *time.Location) string {
	var texts []string
	for _, tick := range ticks {
		texts = append(texts, time.Unix(tick, 0).In(zone).Format("15:04:05-07"))
	}
	return fmt.Sprint(texts)
}

// TestChanges has the rule in examples, one for each sort of change.
func TestChanges(t *testing.T) {
	for _, test := range []struct {
		zone, text, after string
		want              []string
	}{
		{"Europe/Berlin", "30 2 * * *", "2026-03-28T12:00:00+01:00", []string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
		{"Europe/Berlin", "30 2 * * *", "2026-10-24T12:00:00+02:00", []string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
		{"Europe/Berlin", "30 2 * * *", "2026-10-25T02:10:00+01:00", []string{"2026-10-26T02:30:00+01:00"}},
		{"Europe/Berlin", "*/30 * * * *", "2026-10-25T02:00:00+02:00", []string{"2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:00:00+01:00"}},
		{"Europe/Berlin", "*/30 * * * *", "2026-03-29T01:00:00+01:00", []string{"2026-03-29T01:30:00+01:00", "2026-03-29T03:00:00+02:00"}},
		{"Europe/Berlin", "0,30 2 * * *", "2026-03-29T00:00:00+01:00", []string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"}},
		{"Europe/Berlin", "0 2-4 * * *", "2026-03-29T00:00:00+01:00", []string{"2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00"}},
		// The clock is set by half an hour.
		{"Australia/Lord_Howe", "15 2 * * *", "2026-10-03T12:00:00+10:30", []string{"2026-10-04T02:30:00+11:00"}},
		{"Australia/Lord_Howe", "45 1 * * *", "2026-04-04T12:00:00+11:00", []string{"2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"}},
		// Midnight does not exist, and comes twice.
		{"America/Sao_Paulo", "0 0 * * *", "2018-11-03T12:00:00-03:00", []string{"2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"}},
		{"America/Sao_Paulo", "30 23 * * *", "2018-02-17T12:00:00-02:00", []string{"2018-02-17T23:30:00-02:00", "2018-02-18T23:30:00-03:00"}},
		// A whole day does not exist, also as a date.
		{"Pacific/Apia", "0 12 30 12 *", "2011-12-01T00:00:00-10:00", []string{"2011-12-31T00:00:00+14:00", "2012-12-30T12:00:00+14:00"}},
		{"Pacific/Apia", "0 */6 30 12 *", "2011-12-01T00:00:00-10:00", []string{"2012-12-30T00:00:00+14:00"}},
		// Time that elapses is not interrupted.
		{"Europe/Berlin", "@every 24h", "2026-10-24T12:00:00+02:00", []string{"2026-10-25T01:00:00+02:00", "2026-10-26T00:00:00+01:00"}},
	} {
		zone, err := time.LoadLocation(test.zone)
		if err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339, test.after)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range test.want {
			if at, err = Expr(test.text).In(zone).Next(at); err != nil {
				t.Fatal(err)
			}
			if got := at.Format(time.RFC3339); got != want {
				t.Errorf("%s, %q: %s, want %s", test.zone, test.text, got, want)
			}
		}
	}
}

// TestLastDayOfLeapYears is about days for which package time returns bounds that do not
// contain them: it hung.
func TestLastDayOfLeapYears(t *testing.T) {
	for name, zone := range zones(t) {
		for _, year := range []int{1996, 2024, 2400} {
			after := time.Date(year, time.December, 30, 22, 30, 0, 0, time.UTC)
			for _, text := range []string{"15 6 1 1 *", "15 */6 1 1 *"} {
				next, err := Expr(text).In(zone).Next(after)
				if err != nil || next.Year() != year+1 || next.YearDay() != 1 || next.Minute() != 15 {
					t.Errorf("%s, %q after %s: %s, %v", name, text, after, next, err)
				}
			}
		}
	}
}
