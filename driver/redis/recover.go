package redis

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"
)

const (
	// recoverMin and recoverMax bound how often a queue with jobs is looked at, so the time in
	// which a lapsed lease is found: a quarter of a lease, at most a second, and no more than
	// 20 looks a second.
	recoverMin = 50 * time.Millisecond
	recoverMax = time.Second
	// idleMax is how often a queue is looked at in which nothing is held, or twice a lease: what
	// is handed out after one look is seen by the next before its lease can lapse. With the
	// spread it stays below five seconds, in which a queue that was deleted is noticed. A token
	// that was lost is made good by that look or by one of the next, in some seven seconds.
	idleMax = 4 * time.Second
)

// recoverPeriod is how often a queue with jobs is looked at whose consumer has this lease.
func recoverPeriod(lease time.Duration) time.Duration {
	return min(max(lease/4, recoverMin), recoverMax)
}

// idlePeriod is that of a queue in which nothing is held.
func idlePeriod(lease time.Duration) time.Duration {
	return min(max(lease/2, 2*recoverMin), idleMax)
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
