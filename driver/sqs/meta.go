package sqs

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/batch-go/batch/driver"
)

// attribute is the message attribute that has everything but the body. One of
// SQS's ten suffices, leaves nine to others, and is cheaper than many.
const attribute = "batch"

// formatVersion is the version of what docs/wire-sqs.md describes.
const formatVersion = 1

// meta is what the attribute holds, as JSON.
type meta struct {
	Version     int    `json:"v"`
	ID          string `json:"id"`
	Kind        string `json:"kind"`
	ContentType string `json:"type"`
	Encoding    string `json:"enc"`
	// EnqueuedAt and ExpiresAt are in ms since 1970.
	EnqueuedAt  *int64 `json:"at"`
	ExpiresAt   *int64 `json:"expires"`
	MaxAttempts int    `json:"attempts"`
	// Timeout is in ms.
	Timeout int64             `json:"timeout"`
	Headers map[string]string `json:"headers"`
	// Bytes are the headers whose values are not text.
	Bytes map[string][]byte `json:"headers64"`

	// Delay is how many ms after this message was sent the job is due, if SQS does
	// not hold it back for exactly that; Due is when it is due by SQS's clock, in
	// ms since 1970, in the messages that take the first one's place.
	Delay int64 `json:"delay"`
	Due   int64 `json:"due"`

	// The history. Deliveries are those of the messages that had the job before
	// this one.
	Failures   int    `json:"failures"`
	Deliveries int    `json:"deliveries"`
	Error      string `json:"error"`
	// Reason is why a dead letter died.
	Reason string `json:"reason"`
}

var (
	errNoMeta  = errors.New("the message has no attribute " + attribute)
	errNoKind  = errors.New("the attribute " + attribute + " names no kind")
	errVersion = errors.New("the message is of a format that this version does not know")
)

// metaOf is that of a message as it is enqueued.
func metaOf(m *driver.Message, encoding string) meta {
	at := m.EnqueuedAt.UnixMilli()
	d := meta{
		Version: formatVersion, ID: m.ID, Kind: m.Kind, ContentType: m.ContentType, Encoding: encoding,
		EnqueuedAt: &at, MaxAttempts: m.MaxAttempts, Timeout: m.Timeout.Milliseconds(),
	}
	if !m.ExpiresAt.IsZero() {
		expires := m.ExpiresAt.UnixMilli()
		d.ExpiresAt = &expires
	}
	for name, value := range m.Headers {
		if isText(value) {
			if d.Headers == nil {
				d.Headers = make(map[string]string, len(m.Headers))
			}
			d.Headers[name] = value
			continue
		}
		if d.Bytes == nil {
			d.Bytes = make(map[string][]byte)
		}
		d.Bytes[name] = []byte(value)
	}
	return d
}

// message is the inverse of metaOf. What a producer in another language left out
// is taken from the message itself.
func (d *meta) message(body []byte, sent time.Time) driver.Message {
	m := driver.Message{
		ID: d.ID, Kind: d.Kind, ContentType: d.ContentType, Body: body, EnqueuedAt: sent,
		MaxAttempts: d.MaxAttempts, Timeout: time.Duration(d.Timeout) * time.Millisecond,
	}
	if d.EnqueuedAt != nil {
		m.EnqueuedAt = time.UnixMilli(*d.EnqueuedAt).UTC()
	}
	if d.ExpiresAt != nil {
		m.ExpiresAt = time.UnixMilli(*d.ExpiresAt).UTC()
	}
	if n := len(d.Headers) + len(d.Bytes); n > 0 {
		m.Headers = make(map[string]string, n)
		for name, value := range d.Headers {
			m.Headers[name] = value
		}
		for name, value := range d.Bytes {
			m.Headers[name] = string(value)
		}
	}
	return m
}

// readMeta reads the attribute's text.
func readMeta(text string) (meta, error) {
	var d meta
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return d, fmt.Errorf("the attribute %s is not readable: %w", attribute, err)
	}
	if d.ContentType == "" {
		d.ContentType = "application/json"
	}
	switch {
	case d.Version != formatVersion:
		return d, fmt.Errorf("%w: version %d", errVersion, d.Version)
	case d.Kind == "":
		return d, errNoKind
	}
	return d, nil
}

// text writes the attribute: JSON without what is zero, and only characters that
// SQS takes. It is written by hand, as it is on the way of every job and
// encoding/json would take most of the driver's time.
func (d *meta) text() string {
	b := make([]byte, 0, 160+len(d.Error))
	b = append(b, `{"v":`...)
	b = strconv.AppendInt(b, int64(d.Version), 10)
	b = appendField(b, "id", d.ID)
	b = appendField(b, "kind", d.Kind)
	b = appendField(b, "type", d.ContentType)
	b = appendField(b, "enc", d.Encoding)
	if d.EnqueuedAt != nil {
		b = appendInt(b, "at", *d.EnqueuedAt)
	}
	if d.ExpiresAt != nil {
		b = appendInt(b, "expires", *d.ExpiresAt)
	}
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"attempts", int64(d.MaxAttempts)}, {"timeout", d.Timeout}, {"delay", d.Delay}, {"due", d.Due},
		{"failures", int64(d.Failures)}, {"deliveries", int64(d.Deliveries)},
	} {
		if n.value != 0 {
			b = appendInt(b, n.name, n.value)
		}
	}
	b = appendField(b, "error", d.Error)
	b = appendField(b, "reason", d.Reason)
	if len(d.Headers) > 0 {
		b = append(b, `,"headers":{`...)
		first := true
		for name, value := range d.Headers {
			b = appendPair(b, name, first)
			b = appendString(b, value)
			first = false
		}
		b = append(b, '}')
	}
	if len(d.Bytes) > 0 {
		b = append(b, `,"headers64":{`...)
		first := true
		for name, value := range d.Bytes {
			b = appendPair(b, name, first)
			b = append(b, '"')
			b = base64.StdEncoding.AppendEncode(b, value)
			b = append(b, '"')
			first = false
		}
		b = append(b, '}')
	}
	return string(append(b, '}'))
}

func appendPair(b []byte, name string, first bool) []byte {
	if !first {
		b = append(b, ',')
	}
	return append(appendString(b, name), ':')
}

func appendField(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendString(append(append(append(b, ',', '"'), name...), '"', ':'), value)
}

func appendInt(b []byte, name string, value int64) []byte {
	return strconv.AppendInt(append(append(append(b, ',', '"'), name...), '"', ':'), value, 10)
}

// appendString writes a JSON string. It escapes, beside what JSON demands, what
// SQS would refuse.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ' || r == 0xFFFE || r == 0xFFFF:
			b = append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		case r < utf8.RuneSelf:
			b = append(b, s[i])
		default: // what is no UTF-8 becomes U+FFFD
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}
