package dash

import (
	"slices"
	"time"

	"github.com/batch-go/batch"
)

// The bounds of what is kept of the past of a queue.
const (
	// window is how far a plot goes back.
	window = 10 * time.Minute
	// samples is how many points it has: more are not to be told apart on a screen. Up to twice as many are kept, where
	// the interval does not divide their distance, and a thousand queues with these take 8 MiB.
	samples = 120
	// steady is how long a queue must have been watched before a rate is told.
	steady = 15 * time.Second
	// recent is how far a rate looks back.
	recent = 5 * time.Minute
)

// sample is what a queue held at a time: the jobs that wait for a worker, and its dead letters.
type sample struct {
	at            time.Time
	backlog, dead int64 // may be unknown
}

// history is the last minutes of a queue, oldest first.
type history []sample

// sampleOf makes a sample of a depth. What is due is as good as waiting.
func sampleOf(d batch.Depth, at time.Time) sample {
	backlog := d.Waiting
	if backlog >= 0 && d.Due > 0 {
		backlog += d.Due
	}
	return sample{at: at, backlog: backlog, dead: d.Dead}
}

// add notes a sample, and forgets those that are too old. Of two that are too close for the plot, the newer stays.
func (h history) add(s sample) history {
	if n := len(h); n > 1 && s.at.Sub(h[n-2].at) <= window/samples {
		h[n-1] = s
		return h
	}
	h = append(h, s)
	first := 0
	for first < len(h)-1 && (s.at.Sub(h[first].at) > window || len(h)-first > 2*samples) {
		first++
	}
	return slices.Delete(h, 0, first)
}

// deaths is by how many the dead letters have grown, net, and over which time; zero if that is unknown.
func (h history) deaths() (n int64, over time.Duration) {
	if len(h) == 0 || h[len(h)-1].dead < 0 {
		return 0, 0
	}
	last := h[len(h)-1]
	for _, s := range h {
		if s.dead >= 0 {
			return last.dead - s.dead, last.at.Sub(s.at)
		}
	}
	return 0, 0
}

// rate is by how many jobs a minute the backlog has grown lately, and whether that is known. It is a net rate: jobs that
// came and went between two looks were seen by nobody.
func (h history) rate() (perMinute float64, known bool) {
	if len(h) == 0 {
		return 0, false
	}
	last := h[len(h)-1]
	for _, s := range h {
		past := last.at.Sub(s.at)
		if past > recent || s.backlog < 0 {
			continue
		}
		if past < steady || last.backlog < 0 {
			return 0, false
		}
		return float64(last.backlog-s.backlog) / past.Minutes(), true
	}
	return 0, false
}
