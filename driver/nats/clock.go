package nats

import (
	"sync"
	"time"
)

// clock is what is known of the server's clock. A schedule is a point in time by
// the server's clock, and a delay must not end early because the clocks of two
// machines differ: the answers of the JetStream API carry the server's time, and
// from then on the process's monotonic clock counts, which nobody sets.
type clock struct {
	mu sync.Mutex // guards following
	// asked is when the request was sent, server what the answer said. The
	// server's clock shows no more than server when asked is taken for the
	// moment of the answer, so the sum is never behind the server's clock, and
	// ahead of it by no more than the round trip.
	asked, server time.Time
}

// clockAge is how long an observation serves: as long as it takes to see that somebody
// has set the server's clock. Crystals differ by some 1e-5, which is nothing in that time.
const clockAge = 10 * time.Second

// observe takes an answer's time into account.
func (c *clock) observe(asked, server time.Time) {
	if server.IsZero() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked, c.server = asked, server
}

// now is the server's time, never behind it, and whether that is known of late.
func (c *clock) now() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	age := time.Since(c.asked)
	// The wall clock goes on while a machine sleeps, and the monotonic one does
	// not: an observation from before is not to be used.
	wall := time.Now().Round(0).Sub(c.asked.Round(0))
	if c.asked.IsZero() || age > clockAge || (wall-age).Abs() > time.Second {
		return time.Time{}, false
	}
	return c.server.Add(age), true
}
