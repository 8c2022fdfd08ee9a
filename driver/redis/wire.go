package redis

import (
	"strconv"
	"strings"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/wire"
)

// The fields of an entry, as docs/wire-redis.md documents them. Every entry has
// the first two; the others are there only where they differ from the default.
// They are few and short, because the server, Lua and the client each parse them
// at every step: with ID, kind and time in three fields of their own, an enqueue
// costs the server a quarter more.
const (
	fieldJob          = "job" // ID, kind and enqueued at in Unix ms, a space between them
	fieldBody         = "body"
	fieldContentType  = "ct"  // default application/json
	fieldExpiresAt    = "exp" // Unix ms
	fieldMaxAttempts  = "max"
	fieldTimeout      = "to"  // ms
	fieldLevel        = "pri" // -2 to 2
	fieldGroup        = "grp"
	fieldDedupKey     = "dk"
	fieldDedupTime    = "dt" // when the job took its dedup key, in µs of the server's clock; 0 if it did not
	fieldFailures     = "f"
	fieldLastError    = "err"
	fieldDeliveries   = "n" // before this entry
	fieldRedeliveries = "r" // of these, since the last settlement
	fieldBounces      = "b"
	fieldBouncedSince = "bs"   // Unix ms
	fieldReason       = "why"  // of a dead letter
	fieldDiedAt       = "died" // Unix ms
	headerPrefix      = "h:"   // and the header's name
)

// The largest values that are believed of what is stored.
const (
	maxCount   = 1<<31 - 1
	maxTimeout = maxDelay
	maxError   = 2048 // bytes
	maxReason  = 128  // bytes
)

// defaultContentType is the content type of an entry that names none.
const defaultContentType = "application/json"

// job is an entry as read, with the fields of all states.
type job struct {
	driver.Message
	failures, bounces, deliveries, redeliveries int
	lastError, reason                           string
	bouncedSince, diedAt                        time.Time

	hasBody, unreadable bool
}

// read parses the field list at which r stands. It goes on after what it cannot
// understand: then the entry is unreadable, and the job has what there was.
// Strings and body share r's memory unless copied is true.
func (j *job) read(r *reader, copied bool) {
	for n := r.array() / 2; n > 0 && r.err == nil; n-- {
		name, value := unsafeString(r.bytes()), r.bytes()
		j.set(name, value, copied && !r.alone)
	}
	if j.ContentType == "" {
		j.ContentType = defaultContentType
	}
	if !j.hasBody || !wire.IsToken(j.ID) || !wire.IsToken(j.Kind) {
		j.unreadable = true
	}
}

// set takes in one field. Fields that it does not know are those of a later
// version, and left alone.
func (j *job) set(name string, value []byte, copied bool) {
	digits := unsafeString(value) // for what is parsed at once
	switch name {
	case fieldJob:
		id, rest, _ := strings.Cut(toString(value, copied), " ")
		kind, at, ok := strings.Cut(rest, " ")
		j.ID, j.Kind = id, kind
		if ok {
			j.EnqueuedAt = j.time(at)
		} else {
			j.unreadable = true
		}
	case fieldBody:
		j.hasBody = true
		if copied {
			value = append(make([]byte, 0, len(value)), value...)
		}
		j.Body = value
	case fieldContentType:
		j.ContentType = j.text(value, copied)
	case fieldExpiresAt:
		j.ExpiresAt = j.time(digits)
	case fieldMaxAttempts:
		j.MaxAttempts = int(j.number(digits, 0, maxCount))
	case fieldTimeout:
		j.Timeout = time.Duration(j.number(digits, 0, maxTimeout.Milliseconds())) * time.Millisecond
	case fieldLevel:
		j.Level = driver.Level(j.number(digits, -2, 2))
	case fieldGroup:
		j.Group = j.token(value, copied)
	case fieldDedupKey:
		j.DedupKey = j.token(value, copied)
	case fieldFailures:
		j.failures = int(j.number(digits, 0, maxCount))
	case fieldLastError:
		j.lastError = toString(value[:min(len(value), maxError)], copied)
	case fieldDeliveries:
		j.deliveries = int(j.number(digits, 0, maxCount))
	case fieldRedeliveries:
		j.redeliveries = int(j.number(digits, 0, maxCount))
	case fieldBounces:
		j.bounces = int(j.number(digits, 0, maxCount))
	case fieldBouncedSince:
		j.bouncedSince = j.time(digits)
	case fieldReason:
		j.reason = toString(value[:min(len(value), maxReason)], copied)
	case fieldDiedAt:
		j.diedAt = j.time(digits)
	default:
		if header, ok := strings.CutPrefix(name, headerPrefix); ok {
			j.setHeader(header, value, copied)
		}
	}
}

// setHeader takes in one header.
func (j *job) setHeader(name string, value []byte, copied bool) {
	if j.Headers == nil {
		j.Headers = make(map[string]string)
	}
	if copied {
		name = strings.Clone(name)
	}
	j.Headers[name] = toString(value, copied)
}

// number parses a whole number between low and high.
func (j *job) number(digits string, low, high int64) int64 {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < low || n > high {
		j.unreadable = true
		return 0
	}
	return n
}

// time parses Unix ms. Beyond its bounds no time can be told from a damaged one.
func (j *job) time(digits string) time.Time {
	return time.UnixMilli(j.number(digits, wire.MinTime, wire.MaxTime)).UTC()
}

// token takes in a name, which has no spaces or line ends.
func (j *job) token(value []byte, copied bool) string {
	if s := toString(value, copied); wire.IsToken(s) {
		return s
	}
	j.unreadable = true
	return ""
}

// text takes in a content type.
func (j *job) text(value []byte, copied bool) string {
	if s := toString(value, copied); s == "" || wire.IsMediaType(s) {
		return s
	}
	j.unreadable = true
	return ""
}

// toString returns b as a string, which shares b's memory unless copied is true.
func toString(b []byte, copied bool) string {
	if copied {
		return string(b)
	}
	return unsafeString(b)
}

// argStrings holds the strings of one command's arguments. They are passed as
// pointers, which the client library writes without the allocation that boxing
// each string would cost.
type argStrings struct {
	strings []string
	at      time.Time // that atText is the form of
	atText  string
}

// add returns the argument for v.
func (s *argStrings) add(v string) any {
	if len(s.strings) == cap(s.strings) {
		// Pointers into the old array stay valid: nothing writes to it any more.
		s.strings = make([]string, 0, max(64, 2*cap(s.strings)))
	}
	s.strings = append(s.strings, v)
	return &s.strings[len(s.strings)-1]
}

// millis is t in Unix ms. The jobs of a batch mostly share theirs.
func (s *argStrings) millis(t time.Time) string {
	if s.atText == "" || !t.Equal(s.at) {
		s.at, s.atText = t, strconv.FormatInt(t.UnixMilli(), 10)
	}
	return s.atText
}

// messageCode is the argument by which the enqueue scripts find the parts of a
// message: the index of its stream, and how many arguments its optional fields
// are.
func messageCode(m *driver.Message, optional int) int { return streamOf(m.Level) + 8*optional }

// appendJob appends the value of the field job.
func appendJob(buf []byte, m *driver.Message) []byte {
	buf = append(append(buf, m.ID...), ' ')
	buf = append(append(buf, m.Kind...), ' ')
	return strconv.AppendInt(buf, m.EnqueuedAt.UnixMilli(), 10)
}

// appendRequired appends the values of the two fields that every entry has.
func appendRequired(args []any, s *argStrings, m *driver.Message) []any {
	// Neither side modifies a body, so it may pass for a string.
	return append(args, s.add(m.ID+" "+m.Kind+" "+s.millis(m.EnqueuedAt)), s.add(unsafeString(m.Body)))
}

// appendOptional appends the names and values of the other fields of a message.
func appendOptional(args []any, s *argStrings, m *driver.Message) []any {
	put := func(name, value string) { args = append(args, name, s.add(value)) }
	if m.ContentType != defaultContentType && m.ContentType != "" {
		put(fieldContentType, m.ContentType)
	}
	if !m.ExpiresAt.IsZero() {
		put(fieldExpiresAt, unixMillis(m.ExpiresAt))
	}
	if m.MaxAttempts != 0 {
		put(fieldMaxAttempts, strconv.Itoa(m.MaxAttempts))
	}
	if m.Timeout != 0 {
		put(fieldTimeout, strconv.FormatInt(wire.Millis(m.Timeout), 10))
	}
	if m.Level != driver.Normal {
		put(fieldLevel, strconv.Itoa(int(m.Level)))
	}
	if m.Group != "" {
		put(fieldGroup, m.Group)
	}
	if m.DedupKey != "" {
		put(fieldDedupKey, m.DedupKey)
	}
	for name, value := range m.Headers {
		args = append(args, s.add(headerPrefix+name), s.add(value))
	}
	return args
}

// appendHistory appends the names and values of the fields that say what happened to
// a job before it is stored.
func appendHistory(args []any, s *argStrings, e *driver.Entry) []any {
	put := func(name, value string) { args = append(args, name, s.add(value)) }
	count := func(name string, n int) {
		if n > 0 {
			put(name, strconv.Itoa(n))
		}
	}
	count(fieldFailures, e.Failures)
	if e.LastError != "" {
		put(fieldLastError, e.LastError)
	}
	count(fieldDeliveries, e.Deliveries)
	count(fieldBounces, e.Bounces)
	if !e.BouncedSince.IsZero() {
		put(fieldBouncedSince, unixMillis(e.BouncedSince))
	}
	if e.DedupKey != "" {
		put(fieldDedupTime, "0")
	}
	if e.State != driver.StateDead {
		return args
	}
	if e.Reason != "" {
		put(fieldReason, e.Reason)
	}
	if !e.DeadAt.IsZero() {
		put(fieldDiedAt, unixMillis(e.DeadAt))
	}
	return args
}

// unixMillis is t in Unix ms, or empty if it is not set.
func unixMillis(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strconv.FormatInt(t.UnixMilli(), 10)
}
