package redis

import (
	"strconv"
	"strings"
	"time"

	"github.com/batch-go/batch/driver"
)

// The fields of an entry, as docs/wire.md documents them. The first two are in
// every entry; the others only where they differ from the default. Few and
// short, because each is parsed by server, Lua and client on every way: with ID,
// kind and time as three fields of their own an enqueue costs the server a
// quarter more.
const (
	fieldJob   = "job" // ID, kind and enqueued at in Unix ms, a space between them
	fieldBody  = "body"
	fieldType  = "ct"   // content type, default application/json
	fieldExp   = "exp"  // expires at, Unix ms
	fieldMax   = "max"  // attempts
	fieldTo    = "to"   // timeout, ms
	fieldPri   = "pri"  // level, -2 to 2
	fieldGroup = "grp"  // group
	fieldDedup = "dk"   // dedup key
	fieldFails = "f"    // failures
	fieldErr   = "err"  // last error
	fieldN     = "n"    // deliveries before this entry
	fieldR     = "r"    // of these, since the last settlement
	fieldWhy   = "why"  // reason of a dead letter
	fieldDied  = "died" // when it died, Unix ms
	header     = "h:"   // and the header's name
)

const defaultType = "application/json"

// job is an entry as read, with the fields of all states.
type job struct {
	driver.Message
	failures, deliveries, redeliveries int
	lastError, reason                  string
	diedAt                             time.Time

	hasBody, bad bool
}

// read parses a field list that r stands at. It never stops at what it cannot
// understand: bad tells that the entry is no job, and the rest is what there
// was. Strings and body share r's memory unless copied is true.
func (j *job) read(r *reader, copied bool) {
	str := func(b []byte) string {
		if copied {
			return string(b)
		}
		return text(b)
	}
	for n := r.array() / 2; n > 0 && r.err == nil; n-- {
		name, value := text(r.bytes()), r.bytes()
		switch name {
		case fieldJob:
			id, rest, _ := strings.Cut(str(value), " ")
			kind, at, ok := strings.Cut(rest, " ")
			j.ID, j.Kind = id, kind
			if ok {
				j.EnqueuedAt = j.time([]byte(at))
			} else {
				j.bad = true
			}
		case fieldBody:
			j.hasBody = true
			if copied {
				value = append(make([]byte, 0, len(value)), value...)
			}
			j.Body = value
		case fieldType:
			j.ContentType = str(value)
		case fieldExp:
			j.ExpiresAt = j.time(value)
		case fieldMax:
			j.MaxAttempts = int(j.number(value, 0, 1<<31-1))
		case fieldTo:
			j.Timeout = time.Duration(j.number(value, 0, int64(1<<63-1)/int64(time.Millisecond))) * time.Millisecond
		case fieldPri:
			j.Level = driver.Level(j.number(value, -2, 2))
		case fieldGroup:
			j.Group = str(value)
		case fieldDedup:
			j.DedupKey = str(value)
		case fieldFails:
			j.failures = int(j.number(value, 0, 1<<31-1))
		case fieldErr:
			j.lastError = str(value)
		case fieldN:
			j.deliveries = int(j.number(value, 0, 1<<31-1))
		case fieldR:
			j.redeliveries = int(j.number(value, 0, 1<<31-1))
		case fieldWhy:
			j.reason = str(value)
		case fieldDied:
			j.diedAt = j.time(value)
		default:
			if rest, ok := strings.CutPrefix(name, header); ok {
				if j.Headers == nil {
					j.Headers = make(map[string]string)
				}
				j.Headers[str([]byte(rest))] = str(value)
			}
			// Other fields are those of a later version, and left alone.
		}
	}
	if j.ContentType == "" {
		j.ContentType = defaultType
	}
	if !j.hasBody || !visible(j.ID) || !visible(j.Kind) {
		j.bad = true
	}
}

func (j *job) number(value []byte, low, high int64) int64 {
	n, err := strconv.ParseInt(text(value), 10, 64)
	if err != nil || n < low || n > high {
		j.bad = true
		return 0
	}
	return n
}

func (j *job) time(value []byte) time.Time {
	// Beyond these bounds no time can be told from a damaged one.
	ms := j.number(value, -1<<53, 1<<53)
	return time.UnixMilli(ms).UTC()
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

// stream is the index of a level's stream.
func stream(l driver.Level) int { return normalStream - int(l) }

// slab holds the strings of one command's arguments. Its elements are passed as
// pointers, which the client library writes without the allocation that boxing
// each string would cost.
type slab struct {
	strings []string
	at      time.Time // that text is the form of
	atText  string
}

func (s *slab) arg(v string) any {
	if len(s.strings) == cap(s.strings) {
		// Pointers into the old array stay valid: it is only ever appended to.
		s.strings = make([]string, 0, max(64, 2*cap(s.strings)))
	}
	s.strings = append(s.strings, v)
	return &s.strings[len(s.strings)-1]
}

// ms is t in Unix ms. Jobs of one batch mostly share theirs.
func (s *slab) ms(t time.Time) string {
	if s.atText == "" || !t.Equal(s.at) {
		s.at, s.atText = t, strconv.FormatInt(t.UnixMilli(), 10)
	}
	return s.atText
}

// appendCore appends the values of the two fields of every entry.
func appendCore(args []any, s *slab, m *driver.Message) []any {
	// Neither side modifies a body, so that it may pass for a string.
	return append(args, s.arg(m.ID+" "+m.Kind+" "+s.ms(m.EnqueuedAt)), s.arg(text(m.Body)))
}

// appendMore appends the names and values of the other fields.
func appendMore(args []any, s *slab, m *driver.Message) []any {
	put := func(name, value string) { args = append(args, name, s.arg(value)) }
	if m.ContentType != defaultType && m.ContentType != "" {
		put(fieldType, m.ContentType)
	}
	if !m.ExpiresAt.IsZero() {
		put(fieldExp, strconv.FormatInt(m.ExpiresAt.UnixMilli(), 10))
	}
	if m.MaxAttempts != 0 {
		put(fieldMax, strconv.Itoa(m.MaxAttempts))
	}
	if m.Timeout != 0 {
		put(fieldTo, strconv.FormatInt(ceilMS(m.Timeout), 10))
	}
	if m.Level != driver.Normal {
		put(fieldPri, strconv.Itoa(int(m.Level)))
	}
	if m.Group != "" {
		put(fieldGroup, m.Group)
	}
	if m.DedupKey != "" {
		put(fieldDedup, m.DedupKey)
	}
	for name, value := range m.Headers {
		args = append(args, s.arg(header+name), s.arg(value))
	}
	return args
}

// ceilMS is d in ms, rounded up.
func ceilMS(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}
