package nats

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/bootclock"
	"github.com/batch-go/batch/internal/wire"
)

// The headers of a job, as docs/wire-nats.md documents them. The first three are
// in every message; the others only where they differ from the default. None
// begins with Nats-, so that the server takes none for one of its own.
const (
	headerID         = "Batch-Id"
	headerKind       = "Batch-Kind"
	headerAt         = "Batch-At"           // enqueued at, Unix ms
	headerType       = "Content-Type"       // default application/json
	headerExpires    = "Batch-Expires"      // Unix ms
	headerAttempts   = "Batch-Max-Attempts" // as a number
	headerTimeout    = "Batch-Timeout"      // ms
	headerKey        = "Batch-Key"          // dedup key
	headerHold       = "Batch-Hold"         // the same in a dedup key's message and in its job
	headerFailures   = "Batch-Failures"
	headerError      = "Batch-Error"      // last error
	headerBounces    = "Batch-Bounces"    // as a number
	headerBounced    = "Batch-Bounced"    // since when, Unix ms
	headerDeliveries = "Batch-Deliveries" // before this message
	headerLost       = "Batch-Lost"       // of these, since the last settlement
	headerHolder     = "Batch-Holder"     // of a mark: which delivery of its entry
	headerReason     = "Batch-Reason"     // of a dead letter
	headerDied       = "Batch-Died"       // Unix ms
	headerGone       = "Batch-Gone"       // a dead letter that was redriven
	headerDue        = "Batch-Due"        // of a delayed job: ns by the clock of headerClock
	headerClock      = "Batch-Clock"      // a clock that nobody sets
	headerOwn        = "Batch-H-"         // and the name of an application's header
)

// The server's headers that the driver uses.
const (
	natsTTL           = "Nats-TTL"
	natsSchedule      = "Nats-Schedule"
	natsTarget        = "Nats-Schedule-Target"
	natsExpectSubject = "Nats-Expected-Last-Subject-Sequence"
	natsMsgID         = "Nats-Msg-Id"
	natsRollup        = "Nats-Rollup"
	natsBatchID       = "Nats-Batch-Id"
	natsBatchSeq      = "Nats-Batch-Sequence"
	natsBatchCommit   = "Nats-Batch-Commit"
	natsSubject       = "Nats-Subject"
	natsSequence      = "Nats-Sequence"
)

const (
	defaultType = "application/json"
	// maxType is the longest content type, and the longest dedup key, in bytes.
	maxType = 128
	// encoded marks a value in base64: one that would not survive in a header
	// line as it is.
	encoded = "=?"
)

// job is a message as read, with the fields of all states.
type job struct {
	driver.Message
	failures, bounces, deliveries, lost int
	lastError, reason, hold             string
	bouncedSince, diedAt                time.Time
	gone                                bool
}

// header makes the headers of a job, and of the names and values in extra.
func (j *job) header(extra ...string) header {
	space := lineSpace + len(j.ID) + len(j.Kind) + len(j.lastError) + j.HeaderSize() + 16*len(j.Headers)
	for _, s := range extra {
		space += len(s) + len(": ")
	}
	return j.append(make(header, 0, space).begin()).lines(extra...).end()
}

// append appends the headers of a job.
func (j *job) append(h header) header {
	h = j.appendHistory(j.appendFields(h))
	for name, value := range j.Headers {
		h = h.line(headerOwn+name, encode(value))
	}
	return h
}

// appendFields appends the headers of what a job is.
func (j *job) appendFields(h header) header {
	m := &j.Message
	h = h.line(headerID, m.ID).line(headerKind, m.Kind).number(headerAt, m.EnqueuedAt.UnixMilli())
	if m.ContentType != defaultType {
		h = h.line(headerType, encode(m.ContentType))
	}
	if !m.ExpiresAt.IsZero() {
		h = h.number(headerExpires, m.ExpiresAt.UnixMilli())
	}
	if m.MaxAttempts != 0 {
		h = h.number(headerAttempts, int64(m.MaxAttempts))
	}
	if m.Timeout != 0 {
		h = h.number(headerTimeout, wire.Millis(m.Timeout))
	}
	if m.DedupKey != "" {
		h = h.line(headerKey, m.DedupKey)
	}
	if j.hold != "" {
		h = h.line(headerHold, j.hold)
	}
	return h
}

// appendHistory appends the headers of a job's history.
func (j *job) appendHistory(h header) header {
	if j.failures != 0 {
		h = h.number(headerFailures, int64(j.failures))
	}
	if j.lastError != "" {
		h = h.line(headerError, encode(j.lastError))
	}
	if j.bounces != 0 {
		h = h.number(headerBounces, int64(j.bounces))
	}
	if !j.bouncedSince.IsZero() {
		h = h.number(headerBounced, j.bouncedSince.UnixMilli())
	}
	if j.deliveries != 0 {
		h = h.number(headerDeliveries, int64(j.deliveries))
	}
	if j.lost != 0 {
		h = h.number(headerLost, int64(j.lost))
	}
	if j.reason != "" {
		h = h.line(headerReason, j.reason)
	}
	if !j.diedAt.IsZero() {
		h = h.number(headerDied, j.diedAt.UnixMilli())
	}
	return h
}

// entry is a message on its way to the stream.
type entry struct {
	subject string
	header  header
	data    []byte
}

// newJob is the entry of a job that is enqueued at a time of the server. hold is
// that of its dedup key, if it has one.
func (n *names) newJob(m *driver.Message, now moment, hold string) entry {
	j := job{Message: *m, hold: hold}
	return n.entry(&j, now.after(m.Delay))
}

// entry is the entry of a job that is enqueued or comes back: waiting, or
// scheduled if due is not zero.
func (n *names) entry(j *job, due moment, extra ...string) entry {
	if due == (moment{}) {
		return entry{n.job, j.header(extra...), j.Body}
	}
	// The client library's own option for schedules rounds to seconds, down.
	extra = append(extra, natsSchedule, "@at "+due.server.UTC().Format(time.RFC3339Nano), natsTarget, n.job)
	if due.boot != 0 {
		extra = append(extra, headerDue, strconv.FormatInt(int64(due.boot), 10), headerClock, bootclock.ID)
	}
	return entry{n.later(due.server, j.ID), j.header(extra...), j.Body}
}

// deadEntry is the entry of a dead letter.
func (n *names) deadEntry(j *job, extra ...string) entry {
	return entry{n.dead(j.ID), j.header(extra...), j.Body}
}

// read parses a message. It does not stop at what it cannot understand: false
// tells that this is no job, and the fields have what could be read.
func (j *job) read(h natsgo.Header, body []byte) bool {
	j.Body, j.ContentType = body, defaultType
	ok := len(h[headerAt]) > 0
	for name, all := range h {
		if len(all) > 0 && !j.readHeader(name, all[0]) {
			ok = false
		}
	}
	return ok && wire.IsToken(j.ID) && wire.IsToken(j.Kind)
}

// readHeader reads one header; false says that it cannot be what it is.
func (j *job) readHeader(name, v string) (ok bool) {
	ok = true
	switch name {
	case headerID:
		j.ID = v
	case headerKind:
		j.Kind = v
	case headerAt:
		j.EnqueuedAt, ok = readTime(v)
	case headerType:
		j.ContentType, ok = decode(v)
		ok = ok && len(j.ContentType) <= maxType
	case headerExpires:
		j.ExpiresAt, ok = readTime(v)
	case headerAttempts:
		j.MaxAttempts, ok = readCount(v)
	case headerTimeout:
		var ms int64
		ms, ok = readNumber(v, 0, int64(1<<63-1)/int64(time.Millisecond))
		j.Timeout = time.Duration(ms) * time.Millisecond
	case headerKey:
		j.DedupKey, ok = v, len(v) <= maxType
	case headerHold:
		j.hold, ok = v, len(v) <= maxType
	case headerFailures:
		j.failures, ok = readCount(v)
	case headerError:
		j.lastError, ok = decode(v)
	case headerBounces:
		j.bounces, ok = readCount(v)
	case headerBounced:
		j.bouncedSince, ok = readTime(v)
	case headerDeliveries:
		j.deliveries, ok = readCount(v)
	case headerLost:
		j.lost, ok = readCount(v)
	case headerReason:
		j.reason = v
	case headerDied:
		j.diedAt, ok = readTime(v)
	case headerGone:
		j.gone = true
	default:
		own, is := strings.CutPrefix(name, headerOwn)
		if !is {
			break // one of the server's, or of a later version
		}
		if j.Headers == nil {
			j.Headers = make(map[string]string)
		}
		j.Headers[own], ok = decode(v)
	}
	return ok
}

// encode makes any bytes the value of a header: as they are if they are
// printable ASCII, else in base64 behind a mark.
func encode(v string) string {
	plain := !strings.HasPrefix(v, encoded)
	for i := 0; plain && i < len(v); i++ {
		c := v[i]
		plain = c > ' ' && c <= '~' || c == ' ' && i > 0 && i < len(v)-1
	}
	if plain {
		return v
	}
	return encoded + base64.RawStdEncoding.EncodeToString([]byte(v))
}

// decode reverses encode; false says that the value was made by nothing of that kind.
func decode(v string) (string, bool) {
	b64, is := strings.CutPrefix(v, encoded)
	if !is {
		return v, true
	}
	b, err := base64.RawStdEncoding.DecodeString(b64)
	if err != nil {
		return v, false
	}
	return string(b), true
}
