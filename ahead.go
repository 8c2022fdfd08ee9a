package batch

import (
	"math"
	"sync/atomic"
	"time"
)

// ahead decides how many jobs a lane fetches before there is a slot for them. If the
// application has said how many, it is that number. Otherwise it follows the handlers: up
// to as many as there are slots if they start within a moment (horizon), and up to most, if
// the broker's round trips can only be hidden so. Its caller guards it.
//
// What one fetches ahead, other workers do not get, and what has a higher priority and comes
// later is fetched only when half of it has started. So less is better, as long as no slot
// waits for the broker.
type ahead struct {
	// slots is how many jobs may run. least and most bound size: the same number if it is
	// fixed.
	slots, least, most int
	// bytes bounds the bodies of what is fetched beyond the number of slots.
	bytes int
	// patience is how long a job may wait for a slot before it is given back.
	patience time.Duration
	// shown has size, for others to read.
	shown *atomic.Int64

	// size is the present number, and few what it is at most where the queue has not plenty.
	size, few int
	// known is false until a handler has returned, and after jobs were given back until
	// one has: how long they take is unknown, so nothing is fetched ahead.
	known bool
	// took is the mean time of a handler in nanoseconds, and rate how many have returned in
	// a second, by those that ended since a time.
	took, rate float64
	ended      int
	since      time.Time
	// fetching and settling are the round trips of the two calls, zero if unknown, and body
	// is the mean size of a body.
	fetching, settling time.Duration
	body               float64
}

const (
	// shortHorizon is how much work is fetched ahead at least where slots are quick: what
	// is ready in the process hides the broker's round trips and makes requests larger.
	shortHorizon = 20 * time.Millisecond
	// tripsAhead is how many round trips the work lasts that is fetched ahead. A job needs
	// two, one to be received and one to be settled, and may wait for one of each that is
	// under way.
	tripsAhead = 4
	// longestWait is how long a job that was fetched ahead may wait for a slot.
	longestWait = 2 * time.Second
	// longestTrip is the longest call to the broker that counts: what took longer has
	// waited for jobs.
	longestTrip = 250 * time.Millisecond
	// shortestLook and longestLook are the times over which the rate is taken.
	shortestLook, longestLook = 5 * time.Millisecond, 50 * time.Millisecond
	// tookWeight is the weight of one job in the mean.
	tookWeight = 1.0 / 8
	// tripWeight is that of one call. One that took very long counts as one of twice the
	// mean: it says more about a moment than about the broker.
	tripWeight = 8
)

// waitFor is how long a job may wait for a slot under a lease: within the first part of it,
// so that what is only fetched ahead is never extended. A lease of zero is the connection.
func waitFor(lease time.Duration) time.Duration {
	if lease == 0 {
		return longestWait
	}
	return min(longestWait, lease/4)
}

// fixed reports whether the number does not change.
func (a *ahead) fixed() bool { return a.least == a.most }

// begin sets the number to begin with.
func (a *ahead) begin(now time.Time) {
	a.since = now
	a.size, a.few = a.least, a.least
	a.shown.Store(int64(a.size)) // it may be that of the lane before
}

// end notes a job whose handler took a time.
func (a *ahead) end(took time.Duration) {
	a.ended++
	if !a.known {
		a.known, a.took = true, float64(took)
		return
	}
	a.took += (float64(took) - a.took) * tookWeight
}

// fetched notes a call that returned n jobs with bodies of bytes in all, of asked.
func (a *ahead) fetched(took time.Duration, asked, n, bytes int) {
	if n == 0 {
		return
	}
	a.body += (float64(bytes)/float64(n) - a.body) / 4
	// A call that got less than it asked for may have waited for it.
	if n == asked || took < a.fetching {
		a.fetching = trip(a.fetching, took)
	}
}

// settled notes a call that settled jobs.
func (a *ahead) settled(took time.Duration) { a.settling = trip(a.settling, took) }

// trip is the mean of round trips with one more.
func trip(mean, took time.Duration) time.Duration {
	switch {
	case took > longestTrip:
		return mean
	case mean == 0:
		return took
	}
	return mean + (min(took, 2*mean)-mean)/tripWeight
}

// adapt brings the number up to date.
func (a *ahead) adapt(now time.Time) {
	if a.fixed() {
		return
	}
	if !a.known {
		a.set(a.least, a.least)
		return
	}
	if look := now.Sub(a.since); look >= shortestLook {
		rate := float64(a.ended) / look.Seconds()
		weight := min(1, float64(look)/float64(longestLook))
		if rate > a.rate {
			weight = max(weight, 0.5) // what waits should not wait for a mean
		}
		a.rate += (rate - a.rate) * weight
		a.ended, a.since = 0, now
	}
	a.set(a.want())
}

// want are the numbers by what is known. Handlers that end together are not quicker than they
// are on average, so the rate is not more than that.
func (a *ahead) want() (size, few int) {
	took := max(a.took, 1) / float64(time.Second)
	moment := a.patience / 2
	few = int(min(float64(a.slots), math.Round(float64(a.slots)*moment.Seconds()/took), float64(a.most)))
	horizon := min(max(shortHorizon, tripsAhead*(a.fetching+a.settling)), moment)
	many := min(a.rate, float64(a.slots)/took) * horizon.Seconds()
	if most := float64(a.bytes) / max(a.body, 1); many > most {
		many = most
	}
	return max(few, int(min(many, float64(a.most)))), few
}

// stop fetches nothing ahead until a handler has returned.
func (a *ahead) stop() {
	a.known, a.rate, a.ended = false, 0, 0
	a.set(a.least, a.least)
}

// set sets the numbers.
func (a *ahead) set(size, few int) {
	a.few = few
	if size != a.size {
		a.size = size
		a.shown.Store(int64(size))
	}
}
