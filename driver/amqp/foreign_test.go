package amqp

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
)

// foreign makes a message of another program whose properties have as many bytes as
// are asked for.
func foreign(id string, size int, headers amqp091.Table) amqp091.Publishing {
	m := amqp091.Publishing{MessageId: id, Timestamp: time.Now(), DeliveryMode: amqp091.Persistent, Headers: amqp091.Table{"small": "x"}, Body: []byte("body")}
	if id != "" {
		m.Type = "test"
	}
	for name, value := range headers {
		m.Headers[name] = value
	}
	m.Headers["large"] = ""
	m.Headers["large"] = strings.Repeat("x", size-propertiesSize(&m))
	return m
}

// Entries of another program with headers as large as a frame harm nobody: they are
// moved in a form that fits and says so, or refused with the true reason.
func TestForeignHeaders(t *testing.T) {
	eachShape(t, func(t *testing.T, o opener) {
		d := o.open(t)
		q := queue(t, d)
		n := newNames(q)
		ch := raw(t, o.url)
		put := func(queue string, m amqp091.Publishing) {
			t.Helper()
			if err := ch.Publish("", queue, false, false, m); err != nil {
				t.Fatal(err)
			}
		}
		const frame = 131072
		size := frame - frameOverhead - 100
		put(n.main, foreign("", size, nil))
		put(n.main, foreign("readable", size, nil))
		put(n.hop, foreign("due", size, amqp091.Table{hLeft: int64(0)}))
		put(n.hop, foreign("later", size, amqp091.Table{hLeft: int64(200)}))
		enqueue(t, d, q, message("own"))
		c := consume(t, d, q, 10)
		for seen := map[string]bool{}; len(seen) < 4; {
			got := receive(t, c)
			seen[got.ID] = true
			if got.ID == "due" || got.ID == "later" {
				if !strings.Contains(got.LastError, "left out") || got.Headers["small"] != "x" || got.Headers["large"] != "" {
					t.Errorf("%s has the error %q and %d bytes of headers", got.ID, got.LastError, got.HeaderSize())
				}
			}
			if got.ID == "readable" {
				s := driver.Settlement{Delivery: got, Outcome: driver.OutcomeDead, Reason: driver.ReasonPermanent, Failures: 1, Error: "no"}
				err := c.Settle(testContext(t), []driver.Settlement{s})
				if len(err) != 1 || !errors.Is(err[0], driver.ErrTooLarge) || driver.FateOf(err[0]) != driver.FateNotStored {
					t.Errorf("a dead letter that does not fit: %v", err)
				}
			}
			settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDone})
		}
		poll(t, func() string {
			letters, _, err := d.DeadLetters(testContext(t), q, "", 10)
			if err != nil {
				t.Fatal(err)
			}
			if len(letters) == 0 {
				return "the entry that is no job is no dead letter"
			}
			if l := letters[0]; l.Reason != driver.ReasonUnreadable || string(l.Body) != "body" || !strings.Contains(l.LastError, "left out") {
				t.Errorf("the dead letter is %+v", l)
			}
			return ""
		})
		if conn, _ := d.publishing.live(); conn == nil {
			t.Error("the publishing connection broke")
		}
		if n, err := d.Redrive(testContext(t), q, driver.Selection{All: true}); n != 1 || err != nil {
			t.Errorf("redrive: %d, %v", n, err)
		}
	})
}

// An entry as large as the broker takes comes back after its holder was lost, though
// the broker adds to it.
func TestForeignLargest(t *testing.T) {
	eachShape(t, func(t *testing.T, o opener) {
		d := o.open(t)
		q := queue(t, d)
		const frame = 131072
		if err := raw(t, o.url).Publish("", newNames(q).main, false, false, foreign("a", frame-frameOverhead, nil)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			got := receive(t, consume(t, d, q, 1))
			if got.ID != "a" {
				t.Fatalf("received %s", got.ID)
			}
			vanish(t, d)
		}
	})
}

// TestForeignNesting: however deep another program nests the headers of an entry, it is handed out,
// and the connection goes on, on which all queues of the process are consumed.
func TestForeignNesting(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	c := consume(t, d, q, 10)
	ch := raw(t, testURL(t))
	nested := func(depth int) amqp091.Table {
		table := amqp091.Table{"in": int64(1)}
		for range depth / 2 {
			table = amqp091.Table{"in": []any{table}}
		}
		return amqp091.Table{"table": table, "small": "x"}
	}
	for _, depth := range []int{40, 2 * maxDepth} {
		id := fmt.Sprint(depth)
		m := amqp091.Publishing{MessageId: id, Type: "test", Headers: nested(depth), Body: []byte("body")}
		if err := ch.Publish("", newNames(q).main, false, false, m); err != nil {
			t.Fatal(err)
		}
		got := receive(t, c)
		if got.ID != id || got.Redeliveries != 0 || got.Headers["small"] != "x" {
			t.Errorf("received %+v", got)
		}
		settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDone})
	}
}
