package nats

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
)

// The headers of a job, as docs/wire-nats.md documents them. The first three are
// in every message; the others only where they differ from the default. None
// begins with Nats-, so that the server takes none for an order to itself.
const (
	headerID         = "Batch-Id"
	headerKind       = "Batch-Kind"
	headerAt         = "Batch-At"           // enqueued at, Unix ms
	headerType       = "Content-Type"       // default application/json
	headerExpires    = "Batch-Expires"      // Unix ms
	headerAttempts   = "Batch-Max-Attempts" // as a number
	headerTimeout    = "Batch-Timeout"      // ms
	headerKey        = "Batch-Key"          // dedup key
	headerFailures   = "Batch-Failures"
	headerError      = "Batch-Error"      // last error
	headerDeliveries = "Batch-Deliveries" // before this message
	headerLost       = "Batch-Lost"       // of these, since the last settlement
	headerInstead    = "Batch-Instead"    // the entry whose place this one took
	headerReason     = "Batch-Reason"     // of a dead letter
	headerDied       = "Batch-Died"       // Unix ms
	headerGone       = "Batch-Gone"       // a dead letter that was redriven
	headerOwn        = "Batch-H-"         // and the name of an application's header
)

// The server's headers that the driver uses.
const (
	natsTTL           = "Nats-TTL"
	natsSchedule      = "Nats-Schedule"
	natsTarget        = "Nats-Schedule-Target"
	natsScheduler     = "Nats-Scheduler"
	natsExpectSubject = "Nats-Expected-Last-Subject-Sequence"
	natsMsgID         = "Nats-Msg-Id"
	natsRollup        = "Nats-Rollup"
	natsBatchID       = "Nats-Batch-Id"
	natsBatchSeq      = "Nats-Batch-Sequence"
	natsBatchCommit   = "Nats-Batch-Commit"
	natsSubject       = "Nats-Subject"
	natsSequence      = "Nats-Sequence"
	natsTimeStamp     = "Nats-Time-Stamp"
)

const (
	defaultType = "application/json"
	// encoded marks a value in base64: one that would not survive in a header
	// line as it is.
	encoded = "=?"
)

// job is a message as read, with the fields of all states.
type job struct {
	driver.Message
	failures, deliveries, lost int
	lastError, reason          string
	diedAt                     time.Time
	gone                       bool
	instead                    uint64
}

// header makes the headers of a job. All values share one array, as each would
// be a slice of one string otherwise.
func (j *job) header(extra ...string) natsgo.Header {
	n := 3 + len(extra)/2
	optional := 0
	m := &j.Message
	values := make([]string, 0, n+16+len(m.Headers))
	h := make(natsgo.Header, n+optional+len(m.Headers))
	put := func(name, value string) {
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
	put(headerID, m.ID)
	put(headerKind, m.Kind)
	put(headerAt, strconv.FormatInt(m.EnqueuedAt.UnixMilli(), 10))
	if m.ContentType != defaultType {
		put(headerType, encode(m.ContentType))
	}
	if !m.ExpiresAt.IsZero() {
		put(headerExpires, strconv.FormatInt(m.ExpiresAt.UnixMilli(), 10))
	}
	if m.MaxAttempts != 0 {
		put(headerAttempts, strconv.Itoa(m.MaxAttempts))
	}
	if m.Timeout != 0 {
		put(headerTimeout, strconv.FormatInt(ceilMS(m.Timeout), 10))
	}
	if m.DedupKey != "" {
		put(headerKey, m.DedupKey)
	}
	if j.failures != 0 {
		put(headerFailures, strconv.Itoa(j.failures))
	}
	if j.lastError != "" {
		put(headerError, encode(j.lastError))
	}
	if j.deliveries != 0 {
		put(headerDeliveries, strconv.Itoa(j.deliveries))
	}
	if j.lost != 0 {
		put(headerLost, strconv.Itoa(j.lost))
	}
	if j.reason != "" {
		put(headerReason, j.reason)
	}
	if !j.diedAt.IsZero() {
		put(headerDied, strconv.FormatInt(j.diedAt.UnixMilli(), 10))
	}
	for name, value := range m.Headers {
		put(headerOwn+name, encode(value))
	}
	for i := 0; i+1 < len(extra); i += 2 {
		put(extra[i], extra[i+1])
	}
	return h
}

// read parses a message. It never stops at what it cannot understand: the
// result false tells that this is no job, and the rest is what there was.
func (j *job) read(h natsgo.Header, body []byte) bool {
	ok := true
	number := func(v string, low, high int64) int64 {
		n, err := parseInt(v)
		if err != nil || n < low || n > high {
			ok = false
			return 0
		}
		return n
	}
	// Beyond these bounds no time can be told from a damaged one.
	at := func(v string) time.Time { return time.UnixMilli(number(v, -1<<53, 1<<53)).UTC() }
	count := func(v string) int { return int(number(v, 0, 1<<31-1)) }
	text := func(v string) string {
		s, valid := decode(v)
		ok = ok && valid
		return s
	}
	j.Body, j.ContentType = body, defaultType
	seen := 0
	for name, all := range h {
		if len(all) == 0 {
			continue
		}
		v := all[0]
		switch name {
		case headerID:
			j.ID = v
		case headerKind:
			j.Kind = v
		case headerAt:
			j.EnqueuedAt = at(v)
			seen++
		case headerType:
			j.ContentType = text(v)
		case headerExpires:
			j.ExpiresAt = at(v)
		case headerAttempts:
			j.MaxAttempts = count(v)
		case headerTimeout:
			j.Timeout = time.Duration(number(v, 0, int64(1<<63-1)/int64(time.Millisecond))) * time.Millisecond
		case headerKey:
			j.DedupKey = v
		case headerFailures:
			j.failures = count(v)
		case headerError:
			j.lastError = text(v)
		case headerDeliveries:
			j.deliveries = count(v)
		case headerLost:
			j.lost = count(v)
		case headerInstead:
			// Of what is no number there is nothing to wait for.
			j.instead, _ = strconv.ParseUint(v, 10, 64)
		case headerReason:
			j.reason = v
		case headerDied:
			j.diedAt = at(v)
		case headerGone:
			j.gone = true
		default:
			if own, is := strings.CutPrefix(name, headerOwn); is {
				if j.Headers == nil {
					j.Headers = make(map[string]string)
				}
				j.Headers[own] = text(v)
			}
			// Others are the server's, or those of a later version.
		}
	}
	return ok && seen > 0 && visible(j.ID) && visible(j.Kind)
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

// visible tells whether s is 1 to 128 bytes of printable ASCII without spaces,
// as IDs and kinds are.
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
