package sqs

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/wire"
)

// attributeName is the message attribute that has everything but the body. One
// of SQS's ten suffices, leaves nine to others, and is cheaper than many.
const attributeName = "batch"

// dataType is that of the attribute.
var dataType = aws.String("String")

// defaultContentType is that of a job whose attribute says none.
const defaultContentType = "application/json"

// formatVersion is the version of what docs/wire-sqs.md describes.
const formatVersion = 1

// entry is a message to be stored, as an entry of a batch request has it.
type entry struct {
	body string
	// attribute is empty for a message without one, which is no job.
	attribute string
	to        destination
	// delaySeconds is how long SQS holds it back.
	delaySeconds int32
	// token names the message for a FIFO queue, which stores a second one of the
	// same token within five minutes only once. Empty for one of its own.
	token string
}

// size is what SQS counts of the message.
func (e *entry) size() int { return messageSize(e.body, e.attribute) }

// messageSize is what SQS counts of a message with this attribute, if it is not empty.
func messageSize(body, attribute string) int {
	if attribute == "" {
		return len(body)
	}
	return len(body) + len(attribute) + len(attributeName) + len(*dataType)
}

// meta is everything of a job but its body, which the attribute holds as JSON.
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

	history
}

var (
	errNoMeta   = errors.New("the message has no attribute " + attributeName)
	errNoKind   = errors.New("the attribute " + attributeName + " names no kind")
	errVersion  = errors.New("the message is of a format that this version does not know")
	errEncoding = errors.New("the body's encoding is not known")
)

// newMeta is that of a message as it is enqueued, but for its delay.
func newMeta(m *driver.Message, encoding string) meta {
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

// maxMessageDelay is how long SQS itself can hold a message back:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
const maxMessageDelay = 15 * time.Minute

// setDelay notes a delay, and says for how long SQS is to hold the message back:
// in whole seconds, rounded down, and up to 15 minutes. The consumer that receives
// the message then sees to what is left of the delay, by the note.
func (d *meta) setDelay(delay time.Duration) (delaySeconds int32) {
	d.Delay, d.Due = 0, 0
	delay = max(delay, 0)
	delaySeconds = delaySecondsOf(delay)
	if delay > time.Duration(delaySeconds)*time.Second {
		d.Delay = wire.Millis(delay)
	}
	return delaySeconds
}

// delaySecondsOf is the part of a delay that SQS itself can see to.
func delaySecondsOf(delay time.Duration) int32 {
	return int32(min(delay, maxMessageDelay) / time.Second)
}

// message is the inverse of newMeta. What a producer in another language left out
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

// text writes the attribute: JSON without what is zero, and only characters that
// SQS takes. It is written by hand, as every job passes here and encoding/json
// would take most of the driver's time.
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
		{"failures", int64(d.Failures)}, {"bounces", int64(d.Bounces)}, {"bounced", d.Bounced},
		{"deliveries", int64(d.Deliveries)}, {"lost", int64(d.Lost)}, {"died", d.Died},
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
			b = appendName(b, name, first)
			b = appendString(b, value)
			first = false
		}
		b = append(b, '}')
	}
	if len(d.Bytes) > 0 {
		b = append(b, `,"headers64":{`...)
		first := true
		for name, value := range d.Bytes {
			b = appendName(b, name, first)
			b = append(b, '"')
			b = base64.StdEncoding.AppendEncode(b, value)
			b = append(b, '"')
			first = false
		}
		b = append(b, '}')
	}
	return string(append(b, '}'))
}

// appendName writes the name of a header, which may need escapes.
func appendName(b []byte, name string, first bool) []byte {
	if !first {
		b = append(b, ',')
	}
	return append(appendString(b, name), ':')
}

// appendField writes a field of meta, unless its value is empty.
func appendField(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendString(append(append(append(b, ',', '"'), name...), '"', ':'), value)
}

// appendInt writes a field of meta.
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

// How a body is written as SQS's message body, which is a text of at least one
// character out of #x9 #xA #xD #x20-#xD7FF #xE000-#xFFFD #x10000-#x10FFFF:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
const (
	encodingText   = ""
	encodingBase64 = "base64"
	encodingEmpty  = "empty"
)

// emptyBody stands for a body of no bytes.
const emptyBody = "-"

// encodeBody writes a body as text, as it is where SQS takes it.
func encodeBody(body []byte) (text, encoding string) {
	switch {
	case len(body) == 0:
		return emptyBody, encodingEmpty
	case isText(body):
		return string(body), encodingText
	}
	return base64.StdEncoding.EncodeToString(body), encodingBase64
}

// decodeBody is the inverse of encodeBody.
func decodeBody(text, encoding string) ([]byte, error) {
	switch encoding {
	case encodingText:
		return []byte(text), nil
	case encodingEmpty:
		return nil, nil
	case encodingBase64:
		body, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("the body is not base64: %w", err)
		}
		return body, nil
	}
	return nil, fmt.Errorf("%w: %q", errEncoding, encoding)
}

// isText tells whether SQS takes the bytes as text. Carriage returns are allowed
// but would not survive XML, which some servers and clients still speak, so they
// do not count as text.
func isText[T string | []byte](s T) bool {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c < ' ' && c != '\t' && c != '\n' {
				return false
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
		if r == utf8.RuneError && size == 1 || r == 0xFFFE || r == 0xFFFF {
			return false
		}
		i += size
	}
	return true
}
