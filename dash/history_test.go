package dash

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch"
)

// start is when the samples of these tests begin.
var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// watched is a history of so many looks, one each interval, with what backlog says.
func watched(looks int, interval time.Duration, backlog func(i int) int64) history {
	var h history
	for i := range looks {
		h = h.add(sample{at: start.Add(time.Duration(i) * interval), backlog: backlog(i)})
	}
	return h
}

// What is kept is bounded in time and number, whatever the interval, and the newest is always there.
func TestHistoryIsBounded(t *testing.T) {
	for _, interval := range []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 7 * time.Second, time.Minute, time.Hour} {
		h := watched(2000, interval, func(i int) int64 { return int64(i) })
		last := h[len(h)-1]
		if last.backlog != 1999 {
			t.Errorf("at %s: the newest is %d", interval, last.backlog)
		}
		if len(h) > 2*samples || last.at.Sub(h[0].at) > window {
			t.Errorf("at %s: %d samples of %s", interval, len(h), last.at.Sub(h[0].at))
		}
		if past := last.at.Sub(h[0].at); interval <= time.Minute && past < window*9/10 {
			t.Errorf("at %s: only %s is kept", interval, past)
		}
		for i := range h[1:] {
			if !h[i+1].at.After(h[i].at) {
				t.Fatalf("at %s: sample %d is not after the one before", interval, i+1)
			}
		}
	}
}

func TestRate(t *testing.T) {
	for _, test := range []struct {
		name string
		h    history
		want string
	}{
		{"nothing", nil, "measuring"},
		{"one look", watched(1, time.Second, func(int) int64 { return 5 }), "measuring"},
		{"too short", watched(10, time.Second, func(i int) int64 { return int64(i) }), "measuring"},
		{"steady", watched(100, 5*time.Second, func(int) int64 { return 7 }), "±0/min"},
		{"growing", watched(100, 5*time.Second, func(i int) int64 { return int64(i) * 100 }), "+1,200/min"},
		{"falling", watched(100, 5*time.Second, func(i int) int64 { return int64(100 - i) }), "−12/min"},
		{"slowly", watched(100, 5*time.Second, func(i int) int64 { return int64(i / 24) }), "+0.6/min"},
		{"only lately", watched(100, 5*time.Second, func(i int) int64 { return int64(max(39-i, 0)) }), "±0/min"},
		{"unknown at last", watched(100, 5*time.Second, func(i int) int64 { return int64(max(98-i, -1)) }), "measuring"},
		{"rarely", watched(3, time.Hour, func(i int) int64 { return int64(i) }), "measuring"},
	} {
		if got := rateText(test.h); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestDeaths(t *testing.T) {
	deaths := func(dead ...int64) (h history) {
		for i, n := range dead {
			h = h.add(sample{at: start.Add(time.Duration(i) * time.Minute), dead: n})
		}
		return h
	}
	const none = batch.UnknownCount
	for _, test := range []struct {
		h    history
		n    int64
		over time.Duration
	}{{nil, 0, 0}, {deaths(3), 0, 0}, {deaths(3, 4, 9), 6, 2 * time.Minute}, {deaths(none, 4, 1), -3, time.Minute}, {deaths(3, none), 0, 0}, {deaths(none, none), 0, 0}} {
		if n, over := test.h.deaths(); n != test.n || over != test.over {
			t.Errorf("%v: %d over %s, want %d over %s", test.h, n, over, test.n, test.over)
		}
	}
}

func TestSampleOf(t *testing.T) {
	for _, test := range []struct{ waiting, due, backlog int64 }{{3, 2, 5}, {3, batch.UnknownCount, 3}, {batch.UnknownCount, 2, batch.UnknownCount}} {
		if got := sampleOf(batch.Depth{Waiting: test.waiting, Due: test.due}, start).backlog; got != test.backlog {
			t.Errorf("%+v: %d", test, got)
		}
	}
}

// Every point of a plot is within it, gaps are none that are drawn over, and its text says what it shows.
func TestPlot(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		interval := time.Duration(1+random.IntN(60)) * time.Second
		h := watched(1+random.IntN(300), interval, func(int) int64 { return random.Int64N(1000) - 1 })
		now := h[len(h)-1].at.Add(time.Duration(random.IntN(5000)) * time.Millisecond)
		p := newPlot(h, now, 120, 28, 40)
		for _, line := range append(p.Lines, p.Areas...) {
			for _, point := range strings.Fields(line) {
				inside(t, point, p)
			}
		}
		for _, dot := range p.Dots {
			inside(t, dot[0]+","+dot[1], p)
		}
	}
	if p := newPlot(nil, start, 120, 28, 40); len(p.Lines)+len(p.Dots) > 0 || !strings.Contains(p.Text, "No numbers") {
		t.Errorf("the plot of nothing is %+v", p)
	}
	gap := watched(20, 5*time.Second, func(int) int64 { return 5 })
	for i := range 20 {
		gap = gap.add(sample{at: start.Add(5*time.Minute + time.Duration(i)*5*time.Second), backlog: 9})
	}
	p := newPlot(gap, gap[len(gap)-1].at, 720, 120, samples)
	if len(p.Lines) != 2 || len(p.Areas) != 2 {
		t.Errorf("%d lines over a gap of three minutes, want 2", len(p.Lines))
	}
	if want := "5 at first, 9 at last, 9 at most"; !strings.Contains(p.Text, want) {
		t.Errorf("the text is %q, want one with %q", p.Text, want)
	}
}

// inside checks that a point, as SVG has it, is within a plot.
func inside(t *testing.T, point string, p plot) {
	t.Helper()
	left, top, _ := strings.Cut(point, ",")
	x, err1 := strconv.ParseFloat(left, 64)
	y, err2 := strconv.ParseFloat(top, 64)
	if err1 != nil || err2 != nil || x < 0 || x > float64(p.Width) || y < 0 || y > float64(p.Height) {
		t.Fatalf("the point %s is outside of a plot of %d by %d", point, p.Width, p.Height)
	}
}
