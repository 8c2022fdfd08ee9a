package redis

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"
)

const (
	// A lapsed lease is found within a period of its end: a quarter of a lease,
	// at most a second, and no more often than 20 times a second.
	recoverMin = 50 * time.Millisecond
	recoverMax = time.Second
	// groupsEvery is every how many looks the groups are looked after too: what
	// that heals takes another hand than batch's.
	groupsEvery = 16
)

// recover looks for lapsed leases until the consumer closes. All consumers of a
// queue try, one at a time does it, and those that came too late come half as
// often.
func (c *consumer) recover() {
	period := min(max(c.lease/4, recoverMin), recoverMax)
	timer := time.NewTimer(jitter(period))
	defer timer.Stop()
	cursor := "0"
	for round := 1; ; round++ {
		select {
		case <-c.done:
			return
		case <-timer.C:
		}
		groups := ""
		if round%groupsEvery == 0 {
			groups = cursor
		}
		next, first := c.recoverOnce(period, groups)
		if groups != "" {
			cursor = next
		}
		if first {
			timer.Reset(jitter(period))
		} else {
			timer.Reset(jitter(2 * period))
		}
	}
}

// recoverOnce goes through all streams in bounded steps, if nobody else did
// just now. Errors are left to the next look.
func (c *consumer) recoverOnce(period time.Duration, groups string) (cursor string, first bool) {
	cursor = "0"
	hold := strconv.FormatInt(max(period.Milliseconds()/2, 1), 10)
	for at := int64(0); !c.isClosed(); {
		args := append(recoverScript.args(c.k, 4, c.k.lock), at, c.name, hold, groups)
		raw, err := c.d.eval(context.Background(), recoverScript, args)
		if err != nil {
			return cursor, first
		}
		r := reader{buf: raw}
		if r.array() != 3 {
			return cursor, first
		}
		next, _, scanned := r.int(), r.int(), r.string()
		if at == 0 {
			cursor = scanned
		}
		if r.err != nil || next < 0 {
			return cursor, false
		}
		first = true
		if next == 0 {
			return cursor, true
		}
		at = next
	}
	return cursor, first
}

// jitter spreads d by a fifth to both sides, so that processes that started
// together do not stay in step.
func jitter(d time.Duration) time.Duration {
	return d*4/5 + rand.N(d*2/5)
}
