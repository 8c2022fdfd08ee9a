package prombatch

import (
	"fmt"
	"math"
	"slices"

	"github.com/batch-go/batch"
)

// Config configures [Metrics]. A field that is zero has its default; one that is out of bounds is refused.
type Config struct {
	// MaxKinds is how many kinds of jobs have labels of their own: 1 to 10 000. Defaults to 100. Each kind of a queue
	// takes up to a hundred series in all.
	MaxKinds int
	// MaxQueues is the same for queues: 1 to 10 000. Defaults to 100.
	MaxQueues int
	// DurationBuckets are the upper bounds in seconds of the histograms of durations, and WaitBuckets those of waiting
	// times: positive and rising. They default to [DefaultDurationBuckets] and [DefaultWaitBuckets].
	DurationBuckets []float64
	WaitBuckets     []float64
}

// DefaultDurationBuckets are for enqueues and runs of handlers, from a millisecond to the default timeout of a run, half
// an hour.
func DefaultDurationBuckets() []float64 {
	return []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800}
}

// DefaultWaitBuckets are for the time until a job starts, from ten milliseconds to a day.
func DefaultWaitBuckets() []float64 {
	return []float64{0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 6 * 3600, 24 * 3600}
}

// complete sets defaults and checks every bound.
func (c *Config) complete() error {
	for _, f := range []struct {
		name  string
		value *int
	}{{"MaxKinds", &c.MaxKinds}, {"MaxQueues", &c.MaxQueues}} {
		const fallback, most = 100, 10_000
		if *f.value == 0 {
			*f.value = fallback
		}
		if *f.value < 1 || *f.value > most {
			return &batch.InvalidError{Field: f.name, Value: fmt.Sprint(*f.value), Bound: fmt.Sprintf("1 to %d", most)}
		}
	}
	for _, f := range []struct {
		name     string
		value    *[]float64
		fallback func() []float64
	}{{"DurationBuckets", &c.DurationBuckets, DefaultDurationBuckets}, {"WaitBuckets", &c.WaitBuckets, DefaultWaitBuckets}} {
		if *f.value == nil {
			*f.value = f.fallback()
		}
		*f.value = slices.Clone(*f.value)
		if !areBuckets(*f.value) {
			return &batch.InvalidError{Field: f.name, Value: fmt.Sprint(*f.value), Bound: "1 to 100 positive numbers that rise"}
		}
	}
	return nil
}

// areBuckets tells whether these can be the bounds of a histogram.
func areBuckets(bounds []float64) bool {
	if len(bounds) < 1 || len(bounds) > 100 {
		return false
	}
	last := 0.0
	for _, b := range bounds {
		if !(b > last) || math.IsInf(b, 1) { // also of NaN
			return false
		}
		last = b
	}
	return true
}
