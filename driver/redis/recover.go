package redis

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"
)

const (
	// recoverMin and recoverMax bound the period in which a lapsed lease is found:
	// a quarter of a lease, at most a second, and no more than 20 looks a second.
	recoverMin = 50 * time.Millisecond
	recoverMax = time.Second
	// groupsEvery: every so many looks, the groups are looked after too. Only other
	// programs cause what that heals.
	groupsEvery = 16
)

// watchLapsed looks for lapsed leases until the consumer closes. All consumers of
// a queue try, and one at a time succeeds; those that came too late come half as
// often.
func (h *holder) watchLapsed() {
	period := min(max(h.lease/4, recoverMin), recoverMax)
	timer := time.NewTimer(jitter(period))
	defer timer.Stop()
	cursor := "0"
	for round := 1; ; round++ {
		select {
		case <-h.closing:
			return
		case <-timer.C:
		}
		groups := ""
		if round%groupsEvery == 0 {
			groups = cursor
		}
		next, first := h.recoverLapsed(period, groups)
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

// recoverLapsed goes once through all streams in bounded steps, and through some
// groups from the cursor groups if that is not empty. It returns the next such
// cursor, and whether it was the first to look in this period: if not, it does
// nothing. After an error the next look goes on.
func (h *holder) recoverLapsed(period time.Duration, groups string) (cursor string, first bool) {
	cursor = "0"
	hold := strconv.FormatInt(max(period.Milliseconds()/2, 1), 10)
	for at := int64(0); !h.ended(); {
		args := append(recoverScript.args(h.names, 4, h.names.lock), at, h.name, hold, groups)
		raw, err := h.conn.eval(context.Background(), recoverScript, args)
		if err != nil {
			h.tell(err)
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
