package redis

import (
	"context"
	"math/rand/v2"
	"time"
)

// plan is when a consumer next has to look for jobs that are due.
type plan struct {
	none bool
	at   time.Time
	mine bool
}

// Consumers that do not keep the timer of the next due job look this much
// later: spread out, and only for the case that the one that keeps it died.
const (
	// sameTime is how far apart two plans for the same job may be: replies count
	// in whole ms.
	sameTime     = time.Millisecond
	backupDelay  = 250 * time.Millisecond
	backupSpread = 250 * time.Millisecond
)

// plan takes note of what a script told: the ms until the next job is due, or
// -1, and whether its timer is this consumer's.
func (c *consumer) plan(wait int64, mine bool) {
	next := &plan{none: wait < 0, mine: mine}
	last := c.last.Load()
	if next.none && (last == nil || last.none) {
		return
	}
	if !next.none {
		next.at = time.Now().Add(time.Duration(wait) * time.Millisecond)
		if last != nil && !last.none && last.mine == mine && last.at.Sub(next.at).Abs() < sameTime && time.Now().Before(last.at) {
			return
		}
	}
	c.last.Store(next)
	// The newest plan replaces one that was not read yet.
	for {
		select {
		case c.plans <- *next:
			return
		default:
		}
		select {
		case <-c.plans:
		default:
		}
	}
}

// schedule makes due jobs ready by a timer, whether or not a Receive waits: the
// jobs may be for other consumers.
func (c *consumer) schedule() {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	for {
		select {
		case <-c.done:
			return
		case p := <-c.plans:
			if p.none {
				timer.Stop()
				continue
			}
			wait := max(time.Until(p.at), 0)
			if !p.mine {
				wait += backupDelay + rand.N(backupSpread)
			}
			timer.Reset(wait)
		case <-timer.C:
			c.due()
		}
	}
}

// due makes ready what is due, which wakes a Receive that waits, of this
// consumer or of another.
func (c *consumer) due() {
	c.last.Store(nil)
	raw, err := c.d.eval(context.Background(), moveScript, append(moveScript.args(c.k, 1), c.name))
	if err != nil {
		c.plan(1000, true) // the server cannot be reached: later
		return
	}
	r := reader{buf: raw}
	if r.array() == 2 {
		if wait, mine := r.int(), r.int() == 1; r.err == nil {
			c.plan(wait, mine)
		}
	}
}
