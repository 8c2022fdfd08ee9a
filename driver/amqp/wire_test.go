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
	since := time.UnixMilli(1795435200123).UTC()
	p := encode(m, history{failures: 2, lastError: "e", bounces: 4, bouncedSince: since, deliveries: 3, losses: 1})
	if p.Priority != 4 || p.Headers["batch-h-CC"] != "a" || p.Headers["traceparent"] != "d" || p.Headers["x-death"] != nil {
		t.Errorf("encoded as %+v", p)
	}
	d := amqp091.Delivery{MessageId: p.MessageId, Type: p.Type, ContentType: p.ContentType, Timestamp: p.Timestamp, Priority: p.Priority, Headers: p.Headers, Body: p.Body}
	j := decode(&d)
	if j.bad != "" || j.Level != m.Level || len(j.Headers) != 4 || j.Headers["X-Y"] != "c" || !j.EnqueuedAt.Equal(m.EnqueuedAt) {
		t.Errorf("decoded as %+v", j)
	}
	if p.Headers["batch-bounces"] != int64(4) || p.Headers["batch-bounced-since"] != int64(1795435200123) {
		t.Errorf("the bounces are encoded as %v", p.Headers)
	}
	if j.failures != 2 || j.lastError != "e" || j.deliveries != 4 || j.redeliveries != 1 || j.bounces != 4 || !j.bouncedSince.Equal(since) {
		t.Errorf("history decoded as %+v", j)
	}
	p = encode(m, history{})
	d.Headers = p.Headers
	if j := decode(&d); len(p.Headers) != 5 || j.bounces != 0 || !j.bouncedSince.IsZero() || j.redeliveries != 0 || j.deliveries != 1 {
		t.Errorf("without a history: %v, decoded as %+v", p.Headers, j)
	}
	d.Headers["batch-timeout"] = "soon"
	if j := decode(&d); !strings.Contains(j.bad, "batch-timeout") {
		t.Errorf("a damaged header: %q", j.bad)
	}
}

// A dead letter that a policy made, and then another removed, keeps its level.
func TestReturnedLevel(t *testing.T) {
	d := amqp091.Delivery{MessageId: "a", Type: "kind", Priority: priorityOf(driver.Critical), Headers: amqp091.Table{
		"x-death": []any{amqp091.Table{"queue": "batch.q.dead", "reason": "expired", "time": time.Unix(1, 0)}},
	}}
	m := returned(&d)
	if j := decode(&amqp091.Delivery{MessageId: m.MessageId, Type: m.Type, Priority: m.Priority, Headers: m.Headers}); j.Level != driver.Critical || j.bad != "" {
		t.Errorf("the level is %s, and bad is %q", j.Level, j.bad)
	}
}
