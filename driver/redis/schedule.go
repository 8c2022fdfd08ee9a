package redis

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Consumers that do not keep the timer of the next due job look this much
// later: spread out, and only for the case that the one that keeps it died.
const (
	// sameTime is how far apart two times for the same job may be: replies count
	// in whole ms.
	sameTime     = time.Millisecond
	backupDelay  = 250 * time.Millisecond
	backupSpread = 250 * time.Millisecond
	// latestLook is when an alarm rings at the latest: a time that no clock can
	// add up is not believed.
	latestLook = 24 * time.Hour
)

// alarm is when a consumer next looks for jobs that are due: the earliest time
// that any reply told since it last rang. A reply that tells of a later time, or
// of nothing to come, never moves it: replies are read in any order, and an older
// one would silence the alarm of a job that came after it. What that costs is a
// look in vain when somebody else took the job.
type alarm struct {
	backup time.Duration // how much later it rings for jobs whose timer is another's

	mu    sync.Mutex // guards following
	at    time.Time  // zero while it is not set
	timer *time.Timer
}

func newAlarm() *alarm {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return &alarm{backup: backupDelay + rand.N(backupSpread), timer: timer}
}

// plan takes note of what a script told: the ms until the next job is due, or
// -1, and whether its timer is this consumer's.
func (a *alarm) plan(wait int64, mine bool) {
	if wait < 0 {
		return
	}
	in := time.Duration(min(wait, latestLook.Milliseconds())) * time.Millisecond
	if !mine {
		in += a.backup
	}
	at := time.Now().Add(in)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.at.IsZero() || a.at.Sub(at) > sameTime {
		a.at = at
		a.timer.Reset(in)
	}
}

// rang is to be called when the timer fired, before the server is asked: what is
// told from then on counts anew.
func (a *alarm) rang() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = time.Time{}
}

// schedule makes due jobs ready by a timer, whether or not a Receive waits: the
// jobs may be for other consumers.
func (c *consumer) schedule() {
	defer c.alarm.timer.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-c.alarm.timer.C:
			c.alarm.rang()
			c.due()
		}
	}
}

// due makes ready what is due, which wakes a Receive that waits, of this
// consumer or of another.
func (c *consumer) due() {
	raw, err := c.d.eval(context.Background(), moveScript, append(moveScript.args(c.k, 1), c.name))
	if err != nil {
		c.alarm.plan(1000, true) // the server cannot be reached: later
		return
	}
	r := reader{buf: raw}
	if r.array() == 2 {
		if wait, mine := r.int(), r.int() == 1; r.err == nil {
			c.alarm.plan(wait, mine)
		}
	}
}
