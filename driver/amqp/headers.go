package amqp

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/internal/wire"
)

// The headers of a message, as docs/wire-amqp.md documents them. What AMQP has a
// property for is there: message ID, type, content type, priority, timestamp. The
// application's headers stand beside these under their own names, which cannot
// begin with batch-.
const (
	hAt         = "batch-at"            // enqueued at, Unix ms: the property has seconds only
	hExpires    = "batch-expires"       // expires at, Unix ms
	hMax        = "batch-max-attempts"  // attempts
	hTimeout    = "batch-timeout"       // ms
	hFailures   = "batch-failures"      // of the handler
	hError      = "batch-error"         // text of the last failure
	hBounces    = "batch-bounces"       // by workers that could not run the job
	hSince      = "batch-bounced-since" // when the first of these was, Unix ms
	hDeliveries = "batch-deliveries"    // before this message was stored
	hLosses     = "batch-losses"        // holders lost before this message was stored
	hLevel      = "batch-level"         // -2 to 2, while the message has no priority
	hDue        = "batch-due"           // of a delayed job, ms by the clock of hClock
	hLeft       = "batch-left"          // of a delayed job, ms after its delay queue
	hClock      = "batch-clock"         // whose clock it is
	hReason     = "batch-reason"        // of a dead letter
	hDied       = "batch-died"          // Unix µs
	hEntry      = "batch-entry"         // tells dead letters apart
	hMarker     = "batch-marker"        // of a message that is no dead letter: see browse.go
	hEscape     = "batch-h-"            // and the name of a header that the broker would read itself

	hPrefix = "batch-" // of all of these
)

// isBrokers tells whether RabbitMQ adds or reads a header itself. Such names begin
// with x-, but for two: https://www.rabbitmq.com/docs/sender-selected
func isBrokers(name string) bool {
	return isExtension(name) || strings.EqualFold(name, "CC") || strings.EqualFold(name, "BCC")
}

// isExtension tells whether a header's name begins with x-.
func isExtension(name string) bool {
	return len(name) >= 2 && (name[0] == 'x' || name[0] == 'X') && name[1] == '-'
}

// putApplication adds the application's headers.
func putApplication(headers amqp091.Table, application map[string]string) {
	for name, value := range application {
		if isBrokers(name) {
			name = hEscape + name
		}
		headers[name] = value
	}
}

// reader reads headers of any sender.
type reader struct {
	headers amqp091.Table
	// bad says what was wrong with the last one that was.
	bad string
}

// number reads a whole number from low to high, which is 0 if it is missing or bad.
func (r *reader) number(name string, low, high int64) int64 {
	value, ok := r.headers[name]
	if !ok {
		return 0
	}
	n, ok := wholeNumber(value)
	if !ok || n < low || n > high {
		r.bad = fmt.Sprintf("the header %s is not a number from %d to %d", name, low, high)
		return 0
	}
	return n
}

// wholeNumber reads any of the types that client libraries send a number as.
func wholeNumber(value any) (int64, bool) {
	switch v := value.(type) {
	case int64:
		return v, true
	case int32:
		return int64(v), true
	case int16:
		return int64(v), true
	case int8:
		return int64(v), true
	case byte:
		return int64(v), true
	case int:
		return int64(v), true
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		return n, err == nil
	}
	return 0, false
}

// The bounds of times, in Unix seconds.
const firstSecond, lastSecond = wire.MinTime / 1000, wire.MaxTime / 1000

// time reads a time in units since 1970.
func (r *reader) time(name string, unit time.Duration) time.Time {
	if _, ok := r.headers[name]; !ok {
		return time.Time{}
	}
	perSecond := int64(time.Second / unit)
	n := r.number(name, firstSecond*perSecond, (lastSecond+1)*perSecond-1)
	if unit == time.Microsecond {
		return time.UnixMicro(n).UTC()
	}
	return time.UnixMilli(n).UTC()
}

// bounded is a time of another sender, or zero if it is beyond the bounds.
func bounded(t time.Time) time.Time {
	if s := t.Unix(); s < firstSecond || s > lastSecond {
		return time.Time{}
	}
	return t.UTC()
}

// text reads a string, which is empty if it is missing, and bounded as errors are.
func (r *reader) text(name string) string {
	switch v := r.headers[name].(type) {
	case string:
		return clip(v)
	case []byte:
		return clip(string(v))
	}
	return ""
}

// maxText is the longest text of an error that a job carries, in bytes.
const maxText = 2048

// clip is text within maxText, and UTF-8.
func clip(text string) string {
	if len(text) <= maxText && utf8.ValidString(text) {
		return text
	}
	return strings.ToValidUTF8(text[:min(len(text), maxText)], "")
}

// token reads a word that is a token, or empty.
func (r *reader) token(name string) string {
	if word := r.text(name); wire.IsToken(word) {
		return word
	}
	return ""
}

// maxCount bounds what is counted: failures, bounces, deliveries. Sums of two are far
// from overflowing.
const maxCount = 1 << 29

// returns is how often the message was handed out and came back since it was stored,
// and how often of these its holder was lost. As of 4.3 x-acquired-count has the former,
// and x-delivery-count the holders that were lost and what was returned by basic.reject,
// and not what was returned by basic.nack; before, x-delivery-count has all of them.
// Classic queues know only whether it was handed out:
// https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling
func (r *reader) returns(redelivered bool) (handedOut, lost int) {
	_, counted := r.headers["x-delivery-count"]
	lost = int(r.number("x-delivery-count", 0, maxCount))
	if _, ok := r.headers["x-acquired-count"]; ok {
		return max(int(r.number("x-acquired-count", 0, maxCount)), lost), lost
	}
	if !counted && redelivered {
		lost = 1
	}
	return lost, lost
}

// application is the application's headers.
func (r *reader) application() map[string]string {
	var all map[string]string
	for name, value := range r.headers {
		if escaped, ok := strings.CutPrefix(name, hEscape); ok && isBrokers(escaped) {
			name = escaped
		} else if strings.HasPrefix(name, hPrefix) || isBrokers(name) {
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
		if all == nil {
			all = make(map[string]string)
		}
		all[name] = text
	}
	return all
}

// nameOf is a string of bytes, without an allocation if it is one of those that come
// with nearly every message.
func nameOf(b []byte) string {
	if name, ok := commonNames[string(b)]; ok {
		return name
	}
	return string(b)
}

// commonNames are they.
var commonNames = func() map[string]string {
	all := make(map[string]string)
	for _, name := range []string{
		hAt, hExpires, hMax, hTimeout, hFailures, hError, hBounces, hSince, hDeliveries, hLosses, hLevel, hDue, hLeft, hClock,
		hReason, hDied, hEntry, "x-delivery-count", "x-acquired-count",
	} {
		all[name] = name
	}
	return all
}()
