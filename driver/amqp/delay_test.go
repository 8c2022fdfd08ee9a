package amqp

import (
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
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

// A job that another machine delayed goes by what is left, not by its clock.
func TestDueOf(t *testing.T) {
	now := time.Now()
	headers := amqp091.Table{hDue: now.Add(-time.Hour).UnixMilli(), hLeft: int64(5000), hClock: "another"}
	if got := dueOf(headers, now).Sub(now); got != 5*time.Second {
		t.Errorf("by another clock: due in %s, want 5s", got)
	}
	headers[hClock] = clockID
	if got := now.Sub(dueOf(headers, now)); got < time.Hour || got > time.Hour+time.Millisecond {
		t.Errorf("by the own clock: due %s ago, want an hour", got)
	}
	if got := dueOf(amqp091.Table{}, now); !got.Equal(now) {
		t.Errorf("without a time: due at %s, want now, %s", got, now)
	}
}
