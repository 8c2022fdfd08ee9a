package nats

import (
	"sync"
	"time"

	"github.com/batch-go/batch/internal/bootclock"
	"github.com/batch-go/batch/internal/wire"
)

// moment is one moment by two clocks. The zero value is none.
type moment struct {
	// server is by the server's clock. It is that of schedules, and somebody may set it.
	server time.Time
	// boot is by the clock since this machine's start; zero if the server has another clock.
	boot time.Duration
}

// after is the moment at the end of a delay: none, which is at once, if there is none.
func (m moment) after(delay time.Duration) moment {
	if delay <= 0 {
		return moment{}
	}
	later := moment{server: m.server.Add(delay)}
	if m.boot != 0 {
		later.boot = m.boot + delay
	}
	return later
}

// dueAfter is after for a job that comes back: in whole milliseconds.
func dueAfter(now moment, delay time.Duration) moment {
	return now.after(time.Duration(wire.Millis(delay)) * time.Millisecond)
}

// clock is what is known of the server's clock. A schedule is a point in time by
// the server's clock, and a delay must not end early because the clocks of two
// machines differ: the answers of the JetStream API carry the server's time, and
// from then on the process's monotonic clock counts, which nobody sets.
type clock struct {
	own bool       // the server is in this process, and its clock is ours
	mu  sync.Mutex // guards following
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

// now is the server's time, never behind it, and whether that is known of late. By the
// other clock it is never later than by the server's.
func (c *clock) now() (moment, bool) {
	if c.own {
		boot := bootclock.Now()
		return moment{time.Now().Round(0), boot}, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	age := time.Since(c.asked)
	// The wall clock goes on while a machine sleeps, and the monotonic one does
	// not: an observation from before is not to be used.
	wall := time.Now().Round(0).Sub(c.asked.Round(0))
	if c.asked.IsZero() || age > clockAge || (wall-age).Abs() > time.Second {
		return moment{}, false
	}
	return moment{server: c.server.Add(age)}, true
}
