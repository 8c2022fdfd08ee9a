package nats

import (
	"context"
	"math"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/internal/bootclock"
)

// A schedule is a point in time by the server's clock. If somebody sets that ahead, the
// server hands out what is not due yet. So a delayed job says when it is due by the clock
// of the machine that stored it, which nobody sets, and a worker on that machine puts back
// what comes before its time. On another machine the schedule is all that there is.

// earliest is how much before its time a job may come from a server with a clock of its
// own, as no two clocks run alike: a job that is put back may be late by more.
const earliest = 100 * time.Millisecond

// bootDue is when a message of a job is due by the clock since this machine's start, if it
// was delayed on this machine since then. What cannot be read says nothing.
func bootDue(h natsgo.Header) (due time.Duration, ok bool) {
	at, clock := h[headerDue], h[headerClock]
	if len(at) == 0 || len(clock) == 0 || clock[0] != bootclock.ID {
		return 0, false
	}
	ns, ok := readNumber(at[0], 1, math.MaxInt64)
	return time.Duration(ns), ok
}

// isEarly tells whether a message of a job came before its time.
func (d *Driver) isEarly(h natsgo.Header) bool {
	due, ok := bootDue(h)
	if !ok {
		return false
	}
	left := due - bootclock.Now()
	return left > earliest || d.clock.own && left > 0
}

// dueAgain is when a message of a job is due that is stored anew: at once, unless it came
// before its time.
func (d *Driver) dueAgain(ctx context.Context, n *names, h natsgo.Header) (moment, error) {
	if !d.isEarly(h) {
		return moment{}, nil
	}
	now, err := d.serverNow(ctx, n)
	if err != nil {
		return moment{}, err
	}
	due, _ := bootDue(h)
	return now.at(due), nil
}

// at is the moment of which the clock since this machine's start says boot. Beyond the
// longest delay it was never meant.
func (m moment) at(boot time.Duration) moment {
	return moment{m.server.Add(min(boot-m.boot, maxDelay)), boot}
}
