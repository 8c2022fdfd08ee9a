package nats

import (
	"context"
	"math"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/internal/bootclock"
)

// A schedule is a point in time by the server's clock. If somebody sets that ahead, the
// server hands out what is not due yet. Where the server is in this process, a delayed job
// says when it is due by the clock since the machine's start, which nobody sets, and what
// comes before that is put back.

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

// isEarly tells whether a message of a job came before its time. It cannot tell of a server
// elsewhere.
func (d *Driver) isEarly(h natsgo.Header) bool {
	_, early := d.earlyDue(h)
	return early
}

// earlyDue is isEarly, and when the job is due.
func (d *Driver) earlyDue(h natsgo.Header) (due time.Duration, early bool) {
	if !d.clock.own {
		return 0, false
	}
	due, ok := bootDue(h)
	return due, ok && due > bootclock.Now()
}

// dueAgain is when a message of a job is due that is stored anew: at once, unless it came
// before its time.
func (d *Driver) dueAgain(ctx context.Context, n *names, h natsgo.Header) (moment, error) {
	due, early := d.earlyDue(h)
	if !early {
		return moment{}, nil
	}
	now, err := d.serverNow(ctx, n)
	if err != nil {
		return moment{}, err
	}
	return now.at(due), nil
}

// at is the moment of which the clock since this machine's start says boot. Beyond the
// longest delay it was never meant.
func (m moment) at(boot time.Duration) moment {
	return moment{m.server.Add(min(boot-m.boot, maxDelay)), boot}
}
