package amqp

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
)

// The headers of a message, as docs/wire-amqp.md documents them. What AMQP has a
// property for is there: message ID, type, content type, priority, timestamp. The
// application's headers stand beside these under their own names, which cannot
// begin with batch-.
const (
	hAt         = "batch-at"           // enqueued at, Unix ms: the property has seconds only
	hExpires    = "batch-expires"      // expires at, Unix ms
	hMax        = "batch-max-attempts" // attempts
	hTimeout    = "batch-timeout"      // ms
	hFailures   = "batch-failures"     // of the handler
	hError      = "batch-error"        // text of the last failure
	hDeliveries = "batch-deliveries"   // before this message was stored
	hLosses     = "batch-losses"       // holders lost before this message was stored: classic queues
	hLevel      = "batch-level"        // -2 to 2, while the message has no priority
	hDue        = "batch-due"          // of a delayed job, Unix ms by the clock of hClock
	hLeft       = "batch-left"         // of a delayed job, ms after its level
	hClock      = "batch-clock"        // whose clock it is
	hReason     = "batch-reason"       // of a dead letter
	hDied       = "batch-died"         // Unix µs
	hEntry      = "batch-entry"        // tells dead letters apart
	hMarker     = "batch-marker"       // of a message that is no dead letter: see shelf.go
	hEscape     = "batch-h-"           // and the name of a header that the broker would read itself

	own = "batch-"
)

// The headers that RabbitMQ adds or reads itself begin with x-, but for these two:
// https://www.rabbitmq.com/docs/sender-selected
func reserved(name string) bool {
	return len(name) >= 2 && (name[0] == 'x' || name[0] == 'X') && name[1] == '-' ||
		strings.EqualFold(name, "CC") || strings.EqualFold(name, "BCC")
}

// basePriority is the property priority of Trivial. RabbitMQ takes a message
// without one as 0 on classic queues and as 4 on quorum queues, so that 0 is left
// out here.
const (
	basePriority = 1
	lowest       = int64(driver.Trivial)
)

func priorityOf(l driver.Level) uint8 { return uint8(int(l-driver.Trivial) + basePriority) }

// history is what a message carries beside the job itself.
type history struct {
	failures   int
	lastError  string
	deliveries int
	losses     int
}

// encode makes the message of a job for its waiting queue.
func encode(m *driver.Message, h *history) amqp091.Publishing {
	headers := make(amqp091.Table, 1+len(m.Headers))
	headers[hAt] = m.EnqueuedAt.UnixMilli()
	if !m.ExpiresAt.IsZero() {
		headers[hExpires] = m.ExpiresAt.UnixMilli()
	}
	if m.MaxAttempts != 0 {
		headers[hMax] = int64(m.MaxAttempts)
	}
	if m.Timeout != 0 {
		headers[hTimeout] = ceilMS(m.Timeout)
	}
	for name, value := range m.Headers {
		if reserved(name) {
			name = hEscape + name
		}
		headers[name] = value
	}
	if h != nil {
		if h.failures != 0 {
			headers[hFailures] = int64(h.failures)
		}
		if h.lastError != "" {
			headers[hError] = h.lastError
		}
		if h.deliveries != 0 {
			headers[hDeliveries] = int64(h.deliveries)
		}
		if h.losses != 0 {
			headers[hLosses] = int64(h.losses)
		}
	}
	return amqp091.Publishing{
		MessageId:    m.ID,
		Type:         m.Kind,
		ContentType:  m.ContentType,
		Timestamp:    m.EnqueuedAt,
		Priority:     priorityOf(m.Level),
		DeliveryMode: amqp091.Persistent,
		Headers:      headers,
		Body:         m.Body,
	}
}

// job is a message as read, with the fields of all states.
type job struct {
	driver.Message
	history
	before       int // deliveries when the message was stored
	redeliveries int
	reason       string
	diedAt       time.Time
	entry        string
	// bad says why the message is no job, else it is empty.
	bad string
}

// decode reads a message. It never stops at what it cannot understand: bad tells
// that it is no job, and the rest is what there was.
func decode(d *amqp091.Delivery) job {
	r := reader{headers: d.Headers}
	j := job{Message: driver.Message{
		ID: d.MessageId, Kind: d.Type, Body: d.Body, ContentType: d.ContentType,
	}}
	if j.ContentType == "" {
		j.ContentType = "application/octet-stream"
	}
	switch {
	case !visible(d.MessageId):
		r.bad = "the property message-id is missing or no ID"
	case !visible(d.Type):
		r.bad = "the property type is missing or no kind"
	}
	j.EnqueuedAt = r.time(hAt, time.UnixMilli)
	if j.EnqueuedAt.IsZero() {
		j.EnqueuedAt = d.Timestamp.UTC() // of a producer in another language
	}
	j.ExpiresAt = r.time(hExpires, time.UnixMilli)
	j.MaxAttempts = int(r.number(hMax, 0, 1<<31-1))
	j.Timeout = time.Duration(r.number(hTimeout, 0, int64(1<<63-1)/int64(time.Millisecond))) * time.Millisecond
	j.failures = int(r.number(hFailures, 0, 1<<31-1))
	j.lastError = r.text(hError)
	j.losses = int(r.number(hLosses, 0, 1<<31-1))
	j.reason, j.entry = r.text(hReason), r.text(hEntry)
	j.diedAt = r.time(hDied, time.UnixMicro)
	if p := int(d.Priority); p >= basePriority {
		j.Level = driver.Level(min(p-basePriority, int(driver.Critical-driver.Trivial))) + driver.Trivial
	}
	if _, ok := d.Headers[hLevel]; ok {
		j.Level = driver.Level(r.number(hLevel, int64(driver.Trivial), int64(driver.Critical)))
	}
	j.before = int(r.number(hDeliveries, 0, 1<<31-1))
	returned := r.counts(d.Redelivered)
	j.deliveries = j.before + returned + 1
	j.redeliveries = j.losses + returned
	j.Headers = r.rest()
	j.bad = r.bad
	return j
}

// reader reads headers of any sender.
type reader struct {
	headers amqp091.Table
	bad     string
}

// counts is how often the message was handed out and came back since it was
// stored. As of 4.3 x-delivery-count has the holders that were lost and what was
// returned by basic.reject, and not what was returned by basic.nack; before, it
// has all of them. Classic queues know only whether it was handed out:
// https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling
func (r *reader) counts(redelivered bool) int {
	if _, ok := r.headers["x-delivery-count"]; ok {
		return int(r.number("x-delivery-count", 0, 1<<31-1))
	}
	if _, quorum := r.headers["x-acquired-count"]; redelivered && !quorum {
		return 1
	}
	return 0
}

func (r *reader) number(name string, low, high int64) int64 {
	value, ok := r.headers[name]
	if !ok {
		return 0
	}
	var n int64
	switch v := value.(type) {
	case int64:
		n = v
	case int32:
		n = int64(v)
	case int16:
		n = int64(v)
	case int8:
		n = int64(v)
	case byte:
		n = int64(v)
	case int:
		n = int64(v)
	case string:
		var err error
		if n, err = strconv.ParseInt(v, 10, 64); err != nil {
			n = low - 1
		}
	default:
		n = low - 1
	}
	if n < low || n > high {
		r.bad = fmt.Sprintf("the header %s is not a number from %d to %d", name, low, high)
		return 0
	}
	return n
}

// time reads a time; beyond its bounds none can be told from a damaged one.
func (r *reader) time(name string, of func(int64) time.Time) time.Time {
	if _, ok := r.headers[name]; !ok {
		return time.Time{}
	}
	return of(r.number(name, -1<<53, 1<<53)).UTC()
}

func (r *reader) text(name string) string {
	switch v := r.headers[name].(type) {
	case string:
		return v
	case []byte:
		return string(v)
	}
	return ""
}

// rest is the application's headers.
func (r *reader) rest() map[string]string {
	var rest map[string]string
	for name, value := range r.headers {
		if escaped, ok := strings.CutPrefix(name, hEscape); ok {
			name = escaped
		} else if strings.HasPrefix(name, own) || reserved(name) {
			continue
		}
		var text string
		switch v := value.(type) {
		case string:
			text = v
		case []byte:
			text = string(v)
		case nil, amqp091.Table, []any:
			continue // of a foreign producer, and no text
		default:
			text = fmt.Sprint(v)
		}
		if rest == nil {
			rest = make(map[string]string)
		}
		rest[name] = text
	}
	return rest
}

// visible tells whether s is 1 to 128 bytes of printable ASCII without spaces, as
// IDs and kinds are.
func visible(s string) bool {
	if len(s) == 0 || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// ceilMS is d in ms, rounded up.
func ceilMS(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}
