package batch

import (
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// TestPlanStop has the times of a stop, in seconds from its beginning: when handlers are
// cancelled, left behind, when nothing is settled any more, and the end.
func TestPlanStop(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for _, test := range []struct {
		total, grace time.Duration
		want         [4]float64
	}{
		{25 * time.Second, 5 * time.Second, [4]float64{15, 20, 23, 25}},
		{100 * time.Second, 5 * time.Second, [4]float64{90, 95, 98, 100}},
		{10 * time.Second, time.Hour, [4]float64{4, 8, 9.2, 10}}, // at most half of what is left
		{time.Second, 5 * time.Second, [4]float64{0.4, 0.8, 0.92, 1}},
		{0, 5 * time.Second, [4]float64{}},
		{-time.Hour, 5 * time.Second, [4]float64{}},
	} {
		p := planStop(now, test.total, test.grace)
		got := [4]float64{p.cancel.Sub(now).Seconds(), p.detach.Sub(now).Seconds(), p.settle.Sub(now).Seconds(), p.close.Sub(now).Seconds()}
		if got != test.want {
			t.Errorf("a stop of %s with %s for handlers: %v, want %v", test.total, test.grace, got, test.want)
		}
	}
	p := planStop(now, 25*time.Second, 5*time.Second)
	early := p.cancelAt(now.Add(3 * time.Second)) // 12 s before
	if early.cancel.Sub(now) != 3*time.Second || early.detach.Sub(now) != 8*time.Second || early.settle.Sub(now) != 11*time.Second || early.close.Sub(now) != 13*time.Second {
		t.Errorf("cancelled after 3 s: %v, want all of it 12 s earlier", early)
	}
	if late := p.cancelAt(now.Add(16 * time.Second)); late != p {
		t.Errorf("cancelled after 16 s: %v, want the plan as it was", late)
	}
}

// TestPartialFlights has how many requests leave that are not full: few where a request takes
// few jobs and costs money.
func TestPartialFlights(t *testing.T) {
	for _, test := range []struct{ batch, publishers, want int }{
		{10, 8, 2}, {10, 1, 1}, {100, 8, 2}, {101, 8, 8}, {1000, 1, 1},
	} {
		if got := partialFlights(driver.Limits{EnqueueBatch: test.batch, Publishers: test.publishers}); got != test.want {
			t.Errorf("%d jobs in a request and %d publishers: %d, want %d", test.batch, test.publishers, got, test.want)
		}
	}
}

// Delays are spread: jobs and clients that failed together do not come back together.
func TestBackoffsAreSpread(t *testing.T) {
	spread := func(name string, least, most time.Duration, draw func() time.Duration) {
		low, high := most, least
		for range 2000 {
			d := draw()
			low, high = min(low, d), max(high, d)
		}
		width := most - least
		if low < least || high > most || low > least+width/10 || high < most-width/10 {
			t.Errorf("%s is from %s to %s, want all of %s to %s", name, low, high, least, most)
		}
	}
	spread("the first retry", 0, time.Second, func() time.Duration { return DefaultRetryPolicy.Backoff(1, nil) })
	spread("the fifth retry", 0, 16*time.Second, func() time.Duration { return DefaultRetryPolicy.Backoff(5, nil) })
	spread("a late retry", 0, 24*time.Hour, func() time.Duration { return DefaultRetryPolicy.Backoff(24, nil) })
	spread("the first try of a call", 25*time.Millisecond, 50*time.Millisecond, func() time.Duration { return (&backoff{}).next() })
	spread("a late try of a call", 2500*time.Millisecond, 5*time.Second, func() time.Duration { return (&backoff{failures: 20}).next() })
	spread("a bounce", 0, time.Minute, func() time.Duration { return bounceDelay(time.Unix(1e9, 0), time.Unix(1e9-7200, 0)) })
}
