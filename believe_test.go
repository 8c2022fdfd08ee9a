package batch

import (
	"math"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// TestBelieve has for each number that a delivery carries what is made of it.
func TestBelieve(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, test := range map[string]struct {
		number func(*driver.Delivery) *int
		want   map[int]int
	}{
		"Failures":     {func(d *driver.Delivery) *int { return &d.Failures }, map[int]int{math.MinInt: 0, -1: 0, 0: 0, 7: 7, maxCount: maxCount, math.MaxInt: maxCount}},
		"Bounces":      {func(d *driver.Delivery) *int { return &d.Bounces }, map[int]int{math.MinInt: 0, -1: 0, 7: 7, math.MaxInt: maxCount}},
		"Deliveries":   {func(d *driver.Delivery) *int { return &d.Deliveries }, map[int]int{math.MinInt: 1, 0: 1, 1: 1, 7: 7, math.MaxInt: maxCount}},
		"Redeliveries": {func(d *driver.Delivery) *int { return &d.Redeliveries }, map[int]int{math.MinInt: 0, -1: 0, 7: 7, math.MaxInt: maxCount}},
		"MaxAttempts":  {func(d *driver.Delivery) *int { return &d.MaxAttempts }, map[int]int{math.MinInt: 0, -1: 0, 0: 0, 1: 1, 1000: 1000, 1001: 1000, math.MaxInt: 1000}},
	} {
		for got, want := range test.want {
			d := &driver.Delivery{Deliveries: 1}
			*test.number(d) = got
			believe(d, now)
			if n := *test.number(d); n != want {
				t.Errorf("%s %d is taken for %d, want %d", name, got, n, want)
			}
		}
	}
	for got, want := range map[time.Duration]time.Duration{
		math.MinInt64: 0, -1: 0, 0: 0, 1: time.Millisecond, time.Second: time.Second, 31 * 24 * time.Hour: maxTimeout, math.MaxInt64: maxTimeout,
	} {
		d := &driver.Delivery{Message: driver.Message{Timeout: got}}
		if believe(d, now); d.Timeout != want {
			t.Errorf("timeout %s is taken for %s, want %s", got, d.Timeout, want)
		}
	}
	for got, want := range map[Level]Level{-128: Normal, -3: Normal, Trivial: Trivial, Critical: Critical, 3: Normal, 127: Normal} {
		d := &driver.Delivery{Message: driver.Message{Level: got}}
		if believe(d, now); d.Level != want {
			t.Errorf("level %d is taken for %d, want %d", got, d.Level, want)
		}
	}
	sane := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, got := range []time.Time{time.UnixMilli(math.MinInt64), time.Unix(-1, 0).UTC(), {}, time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.UnixMilli(math.MaxInt64)} {
		d := &driver.Delivery{Message: driver.Message{EnqueuedAt: got, ExpiresAt: got}, BouncedSince: got}
		believe(d, now)
		if !d.EnqueuedAt.IsZero() || !d.ExpiresAt.IsZero() || !d.BouncedSince.IsZero() && d.BouncedSince != now {
			t.Errorf("time %s is taken for %s, %s and %s", got, d.EnqueuedAt, d.ExpiresAt, d.BouncedSince)
		}
	}
	d := &driver.Delivery{Message: driver.Message{EnqueuedAt: sane, ExpiresAt: sane}, BouncedSince: sane}
	if believe(d, now); d.EnqueuedAt != sane || d.ExpiresAt != sane || d.BouncedSince != sane {
		t.Errorf("%s is taken for %s, %s and %s", sane, d.EnqueuedAt, d.ExpiresAt, d.BouncedSince)
	}
	if d.BouncedSince = now.Add(time.Hour); true {
		if believe(d, now); d.BouncedSince != now {
			t.Errorf("bounced since an hour from now is taken for %s, want now", d.BouncedSince)
		}
	}
}

// TestBelieveDepth keeps what is a count, or says that there is none.
func TestBelieveDepth(t *testing.T) {
	sane := Depth{Waiting: 1, Scheduled: 0, Running: UnknownCount, Dead: math.MaxInt64, Due: 5, Age: time.Hour}
	if got := believeDepth(sane); got != sane {
		t.Errorf("%+v is taken for %+v", sane, got)
	}
	absurd := Depth{Waiting: -2, Scheduled: math.MinInt64, Running: -3, Dead: -4, Due: -5, Age: -2}
	want := Depth{Waiting: -1, Scheduled: -1, Running: -1, Dead: -1, Due: -1, Age: UnknownAge}
	if got := believeDepth(absurd); got != want {
		t.Errorf("%+v is taken for %+v, want %+v", absurd, got, want)
	}
}

// TestBackoffNeverOverflows asks the policies about any number of failures.
func TestBackoffNeverOverflows(t *testing.T) {
	for _, p := range []ExponentialBackoff{{}, {Base: 1}, {Base: math.MaxInt64}, {Max: math.MaxInt64}, {Base: -1, Max: -1}, {Base: 3, Max: math.MaxInt64}} {
		for _, failures := range []int{math.MinInt, -1, 0, 1, 2, 62, 63, 64, 65, maxCount + 1, math.MaxInt} {
			most := max(p.Max, 0)
			if most == 0 {
				most = 24 * time.Hour
			}
			if d := p.Backoff(failures, nil); d <= 0 || d > most {
				t.Errorf("%+v after %d failures: %s, want more than zero and at most %s", p, failures, d, most)
			}
		}
	}
	for _, failures := range []int{0, 1, 6, 7, 10, 63, 64, maxCount} {
		b := backoff{failures: failures}
		if d := b.next(); d < 25*time.Millisecond || d > 5*time.Second {
			t.Errorf("try %d comes after %s", failures, d)
		}
	}
}
