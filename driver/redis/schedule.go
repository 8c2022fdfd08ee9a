package redis

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// sameTime is how far apart two times for the same job may be: replies count
	// in whole ms.
	sameTime = time.Millisecond
	// Consumers that do not keep the timer of the next due job look this much
	// later: spread out, and only in case the one that keeps it died.
	backupDelay  = 250 * time.Millisecond
	backupSpread = 250 * time.Millisecond
	// latestLook is when an alarm rings at the latest: a time that no clock can
	// add up is not believed.
	latestLook = 24 * time.Hour
	// unreachable is how long a server that did not answer is left alone.
	unreachable = time.Second
)

// alarm is when a consumer next looks for jobs that are due: the earliest time
// that any reply told since it last rang. A reply that tells of a later time, or
// of nothing to come, never moves it: replies are read in any order, and an older
// one would silence the alarm of a job that came after it. The price is a look in
// vain when another consumer took the job.
type alarm struct {
	backup time.Duration // how much later it rings for jobs whose timer another consumer keeps

	mu      sync.Mutex // guards following
	at      time.Time  // zero while it is not set
	stopped bool
	timer   *time.Timer
}

// newAlarm makes an alarm that is not set. It calls ring on a goroutine of its own when it
// rings. Until then it is a timer and no goroutine: there may be thousands.
func newAlarm(ring func()) *alarm {
	timer := time.AfterFunc(time.Hour, ring)
	timer.Stop()
	return &alarm{backup: backupDelay + rand.N(backupSpread), timer: timer}
}

// stop ends it for good, if the consumer is closed.
func (a *alarm) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopped = true
	a.timer.Stop()
}

// plan takes note of what a script told: the ms until the next job is due, or
// -1, and whether its timer is this consumer's to keep.
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
	if !a.stopped && (a.at.IsZero() || a.at.Sub(at) > sameTime) {
		a.at = at
		a.timer.Reset(in)
	}
}

// isSet tells whether it will ring.
func (a *alarm) isSet() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.at.IsZero()
}

// rang is called when the timer fired, before the server is asked: what is told
// from then on counts anew.
func (a *alarm) rang() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = time.Time{}
}

// moveDue makes ready what is due when the alarm has rung, whether or not a Receive waits: that
// wakes one that waits, of this consumer or of another.
func (h *holder) moveDue(a *alarm) {
	a.rang()
	raw, err := h.conn.eval(context.Background(), moveScript, append(moveScript.args(h.names, 1), h.name))
	if err != nil {
		h.tell(err)
		a.plan(unreachable.Milliseconds(), true)
		return
	}
	r := reader{buf: raw}
	if r.array() == 2 {
		if wait, mine := r.int(), r.int() == 1; r.err == nil {
			a.plan(wait, mine)
		}
	}
}
