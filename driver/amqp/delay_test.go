package amqp

import (
	"math"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/internal/bootclock"
)

func TestTTLFor(t *testing.T) {
	for i, ttl := range ttls {
		if ttlFor(ttl) != ttl || i > 0 && ttlFor(ttl-1) != ttls[i-1] {
			t.Errorf("the TTL near %s is %s and %s", ttl, ttlFor(ttl), ttlFor(ttl-1))
		}
	}
	if last := ttls[len(ttls)-1]; last.Milliseconds() >= 1<<32 || ttlFor(maxDelay) != last {
		t.Errorf("the longest TTL is %s", last)
	}
}

// A job that another machine delayed goes by what is left, not by its clock; one of this
// machine by a clock that nobody sets.
func TestDueOf(t *testing.T) {
	now := time.Now()
	headers := amqp091.Table{hDue: (bootclock.Now() + time.Hour).Milliseconds(), hLeft: int64(5000), hClock: "another"}
	if got := dueOf(headers, now, bootclock.Now()).Sub(now); got != 5*time.Second {
		t.Errorf("by another clock: due in %s, want 5s", got)
	}
	headers[hClock] = bootclock.ID
	for _, step := range []time.Duration{0, time.Hour, -time.Hour} {
		now := now.Add(step)
		if got := dueOf(headers, now, bootclock.Now()).Sub(now); got > time.Hour || got < time.Hour-bound {
			t.Errorf("by the own clock, the time of day %s off: due in %s, want an hour", step, got)
		}
	}
	if got := dueOf(amqp091.Table{}, now, bootclock.Now()); !got.Equal(now) {
		t.Errorf("without a time: due at %s, want now, %s", got, now)
	}
	for _, due := range []any{int64(math.MaxInt64), int64(math.MinInt64), "soon", int64(0)} {
		headers[hDue] = due
		if got := dueOf(headers, now, bootclock.Now()).Sub(now); got != 5*time.Second {
			t.Errorf("with the time %v: due in %s, want 5s", due, got)
		}
	}
	death := amqp091.Table{"queue": newNames("q").delay(64 * time.Millisecond), "reason": "maxlen"}
	if got := dueOf(amqp091.Table{hLeft: int64(5000), "x-death": []any{death}}, now, bootclock.Now()).Sub(now); got != 5064*time.Millisecond {
		t.Errorf("removed from a delay queue before its time: due in %s", got)
	}
}

// What holdBack says, dueOf reads, and never early.
func TestHoldBackIsNeverEarly(t *testing.T) {
	for _, left := range []time.Duration{time.Millisecond, 63 * time.Millisecond, 64*time.Millisecond + 1, time.Hour, maxDelay} {
		now := time.Now()
		p := holdBack(newNames("q"), amqp091.Publishing{Headers: amqp091.Table{}}, now.Add(left), now, true)
		clock := bootclock.Now()
		if got := dueOf(p.message.Headers, time.Now(), clock); got.Before(now.Add(left)) {
			t.Errorf("a delay of %s is early by %s", left, now.Add(left).Sub(got))
		}
	}
}
