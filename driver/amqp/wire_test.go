package amqp

import (
	"strings"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
)

// What a level travels as, and headers that the broker would read itself.
func TestWire(t *testing.T) {
	m := message("id", func(m *driver.Message) {
		m.Level = driver.High
		m.Headers = map[string]string{"CC": "a", "x-death": "b", "X-Y": "c", "traceparent": "d"}
	})
	p := encode(m, &history{failures: 2, lastError: "e", deliveries: 3, losses: 1})
	if p.Priority != 4 || p.Headers["batch-h-CC"] != "a" || p.Headers["traceparent"] != "d" || p.Headers["x-death"] != nil {
		t.Errorf("encoded as %+v", p)
	}
	d := amqp091.Delivery{MessageId: p.MessageId, Type: p.Type, ContentType: p.ContentType, Timestamp: p.Timestamp, Priority: p.Priority, Headers: p.Headers, Body: p.Body}
	j := decode(&d)
	if j.bad != "" || j.Level != m.Level || len(j.Headers) != 4 || j.Headers["X-Y"] != "c" || !j.EnqueuedAt.Equal(m.EnqueuedAt) {
		t.Errorf("decoded as %+v", j)
	}
	if j.failures != 2 || j.lastError != "e" || j.deliveries != 4 || j.redeliveries != 1 {
		t.Errorf("history decoded as %+v", j)
	}
	d.Headers["batch-timeout"] = "soon"
	if j := decode(&d); !strings.Contains(j.bad, "batch-timeout") {
		t.Errorf("a damaged header: %q", j.bad)
	}
}

func TestRung(t *testing.T) {
	for i, d := range levels {
		if rung(d) != d || i > 0 && rung(d-1) != levels[i-1] {
			t.Errorf("rung near %s is %s and %s", d, rung(d), rung(d-1))
		}
	}
	if last := levels[len(levels)-1]; last.Milliseconds() >= 1<<32 || rung(maxDelay) != last {
		t.Errorf("the longest level is %s", last)
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
