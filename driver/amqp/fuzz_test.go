package amqp

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/bootclock"
	"github.com/batch-go/batch/internal/wire"
)

// known are the names that the driver reads, for tables of which a byte picks one.
var known = []string{
	hAt, hExpires, hMax, hTimeout, hFailures, hError, hBounces, hSince, hDeliveries, hLosses, hLevel, hDue, hLeft, hClock, hReason, hDied, hEntry, hMarker,
	hEscape, hEscape + "x-a", hEscape + "batch-at", "x-death", "x-delivery-count", "x-acquired-count", "CC", "X-A", "queue", "reason", "time", "a",
}

// source of a table: bytes that are taken from the front.
type script struct{ data []byte }

// next takes n bytes, or what there is.
func (s *script) next(n int) []byte {
	n = min(n, len(s.data))
	taken := s.data[:n]
	s.data = s.data[n:]
	return taken
}

// number takes a byte.
func (s *script) number() int {
	if b := s.next(1); len(b) == 1 {
		return int(b[0])
	}
	return 0
}

// int64 takes eight bytes.
func (s *script) int64() int64 {
	var b [8]byte
	copy(b[:], s.next(8))
	return int64(binary.BigEndian.Uint64(b[:]))
}

// table makes a table of what a client library can decode.
func (s *script) table(depth int) amqp091.Table {
	t := make(amqp091.Table)
	for range s.number() % 16 {
		name := known[s.number()%len(known)]
		if s.number()%4 == 0 {
			name = string(s.next(s.number()))
		}
		t[name] = s.value(depth)
	}
	return t
}

// value makes a value of any type.
func (s *script) value(depth int) any {
	kinds := 14
	if depth == 0 {
		kinds = 12
	}
	switch s.number() % kinds {
	case 0:
		return s.int64()
	case 1:
		return int32(s.int64())
	case 2:
		return int16(s.int64())
	case 3:
		return int8(s.int64())
	case 4:
		return byte(s.int64())
	case 5:
		return string(s.next(s.number() * 16))
	case 6:
		return s.next(s.number())
	case 7:
		return time.Unix(s.int64(), 0)
	case 8:
		return nil
	case 9:
		return s.number()%2 == 0
	case 10:
		return float64(s.int64())
	case 11:
		return fmt.Sprint(s.int64())
	case 12:
		return s.table(depth - 1)
	}
	all := make([]any, s.number()%8)
	for i := range all {
		all[i] = s.value(depth - 1)
	}
	return all
}

// messageOf makes a message of any program.
func messageOf(data []byte) amqp091.Delivery {
	s := &script{data}
	d := amqp091.Delivery{Headers: s.table(3)}
	d.MessageId, d.Type, d.ContentType = string(s.next(s.number())), string(s.next(s.number())), string(s.next(s.number()))
	d.Timestamp, d.Priority, d.Redelivered = time.Unix(s.int64(), 0), byte(s.number()), s.number()%2 == 0
	d.Body = s.data
	return d
}

// seeds are messages to begin with.
func seeds(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x02\x15\x01\x0d\x01\x0c\x02\x1a\x01\x05\x01batch.q\x1b\x01\x05\x01maxlen\x0a\x01\x00\x00\x00\x00\x00\x00\x00\x01\x01a\x01b\x01c"))
	for i := range known {
		for kind := range 14 {
			f.Add(append([]byte{1, byte(i), 1, byte(kind)}, "\x7f\xff\xff\xff\xff\xff\xff\xff\x01a\x01b\x10application/json\xff\xff\xff\xff\xff\xff\xff\xff\x09\x00body"...))
		}
	}
}

// FuzzDecode reads messages of any program as a job or a dead letter.
func FuzzDecode(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		d := messageOf(data)
		before := len(d.Headers)
		j := decode(&d)
		checkJob(t, &j)
		if len(d.Headers) != before {
			t.Error("decode changed the headers")
		}
		m := unreadable(&d, j.bad)
		checkJob(t, ptr(decode(&amqp091.Delivery{MessageId: m.MessageId, Type: m.Type, ContentType: m.ContentType, Headers: m.Headers, Timestamp: m.Timestamp})))
		if !wire.IsToken(m.MessageId) {
			t.Errorf("the dead letter has the ID %q", m.MessageId)
		}
		if j.bad != "" {
			return
		}
		// What was read is stored again, as a retry does, and is the same.
		again := encode(&j.Message, j.history)
		k := decode(&amqp091.Delivery{MessageId: again.MessageId, Type: again.Type, ContentType: again.ContentType, Headers: again.Headers, Priority: again.Priority, Timestamp: again.Timestamp})
		if k.bad != "" || k.ID != j.ID || k.Kind != j.Kind || k.Level != j.Level || k.failures != j.failures || k.bounces != j.bounces || k.Timeout != j.Timeout || !maps.Equal(k.Headers, j.Headers) {
			t.Errorf("stored again it is %+v, and was %+v", k, j)
		}
	})
}

// ptr is a pointer to a value.
func ptr[T any](v T) *T { return &v }

// checkJob checks that what was read is within the bounds.
func checkJob(t *testing.T, j *job) {
	t.Helper()
	if j.bad == "" && (!wire.IsToken(j.ID) || !wire.IsToken(j.Kind)) || !wire.IsMediaType(j.ContentType) {
		t.Errorf("%q, %q and %q pass for a job", j.ID, j.Kind, j.ContentType)
	}
	if j.Level < driver.Trivial || j.Level > driver.Critical || j.MaxAttempts < 0 || j.Timeout < 0 {
		t.Errorf("level %d, %d attempts, timeout %s", j.Level, j.MaxAttempts, j.Timeout)
	}
	for _, n := range []int{j.failures, j.bounces, j.deliveries - 1, j.redeliveries, j.losses, j.before} {
		if n < 0 || n > 2*maxCount {
			t.Errorf("a count of %d", n)
		}
	}
	for _, at := range []time.Time{j.EnqueuedAt, j.ExpiresAt, j.bouncedSince, j.diedAt} {
		if _, err := json.Marshal(at); err != nil {
			t.Errorf("a time: %v", err)
		}
	}
	if len(j.lastError) > maxText || !utf8.ValidString(j.lastError) || j.reason != "" && !wire.IsToken(j.reason) {
		t.Errorf("the reason %q, the error %q", j.reason, j.lastError)
	}
	for name := range j.Headers {
		if strings.HasPrefix(name, hPrefix) {
			t.Errorf("the application has a header %q", name)
		}
	}
}

// FuzzDelayed reads messages of any program as delayed jobs.
func FuzzDelayed(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		d := messageOf(data)
		now, clock := time.Now(), bootclock.Now()
		due := dueOf(d.Headers, now, clock)
		if latest := now.Add(maxDelay + ttls[len(ttls)-1]); due.After(latest) {
			t.Errorf("due at %s", due)
		}
		m := withoutDelay(&d)
		if len(m.Headers) > len(d.Headers) {
			t.Error("a moved job has more headers than before")
		}
		p := holdBack(newNames("q"), m, due, now, true)
		if left := dueOf(p.message.Headers, now, clock); due.Sub(now) > 0 && left.Before(due) {
			t.Errorf("due at %s, and then at %s", due, left)
		}
		_ = returned(&d)
		priorityFromHeader(&m)
	})
}

// FuzzFit makes messages of any program fit.
func FuzzFit(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		d := messageOf(data)
		own := 0
		for name := range d.Headers {
			if strings.HasPrefix(name, hPrefix) && !strings.HasPrefix(name, hEscape) {
				delete(d.Headers, name) // the driver's own are not of that size
				own++
			}
		}
		m := withoutDelay(&d)
		if m.Headers == nil {
			m.Headers = amqp091.Table{}
		}
		const room = 3584 // of the smallest frame
		before := propertiesSize(&m)
		fit(&m, room)
		if n := propertiesSize(&m); n > room {
			t.Errorf("%d bytes, and before %d, do not fit into %d", n, before, room)
		}
		if _, marked := m.Headers[hError]; marked != (before > room) {
			t.Errorf("%d bytes, marked %v", before, marked)
		}
	})
}

// FuzzCursor reads cursors.
func FuzzCursor(f *testing.F) {
	for _, cursor := range []string{"", "0.a", "-zz.", "9999999999999999999.x", ".", "a", "\n.\n"} {
		f.Add(cursor)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		p, err := parsePosition(cursor)
		if err != nil || cursor == "" {
			return
		}
		if q, err := parsePosition(p.String()); err != nil || q != p {
			t.Errorf("%q is %+v, and that is %+v, %v", cursor, p, q, err)
		}
	})
}

// FuzzReply classifies what a broker may say when it ends a channel.
func FuzzReply(f *testing.F) {
	f.Add(406, "PRECONDITION_FAILED - message size 11 is larger than configured max size 10", true)
	f.Add(406, "PRECONDITION_FAILED - message size 99999999999999999999 is larger than configured max size -1", true)
	f.Add(403, "ACCESS_REFUSED", true)
	f.Add(-1, "", false)
	f.Fuzz(func(t *testing.T, code int, reason string, server bool) {
		e := &amqp091.Error{Code: code, Reason: reason, Server: server}
		if err := fail("op", "q", e); !errors.As(err, new(*driver.Error)) {
			t.Errorf("%v is no error of the driver", err)
		}
		p := &publisher{err: e}
		if reply, size, most := p.tooLarge(); reply != nil && (size < 1 || most < 0) {
			t.Errorf("a size of %d and a limit of %d", size, most)
		}
		_, _ = parseVersion(reason)
	})
}

// greeting is a connection on which a broker has said what it has to say.
type greeting struct {
	net.Conn
	io.Reader
}

// Read is that of the reader.
func (g greeting) Read(b []byte) (int, error) { return g.Reader.Read(b) }

// FuzzGreeting reads the first frames of any broker: all that it says arrives, and only
// the size of a frame is changed.
func FuzzGreeting(f *testing.F) {
	tune := append(bytes.Clone(tuneFrame), 0, 0, 0, 2, 0, 0, 0, 60, 206)
	f.Add(tune, 3)
	f.Add(append([]byte{1, 0, 0, 0, 0, 0, 4, 0, 10, 0, 10, 206}, tune...), 100)
	f.Add([]byte("AMQP\x00\x00\x09\x01"), 8)
	f.Add([]byte{1, 0, 0, 255, 255, 255, 255}, 1)
	f.Fuzz(func(t *testing.T, said []byte, step int) {
		r := &receiving{Conn: greeting{Reader: bytes.NewReader(said)}}
		step = min(max(step, 1), 1<<16)
		var got []byte
		for b := make([]byte, step); ; {
			n, err := r.Read(b)
			got = append(got, b[:n]...)
			if err != nil {
				break
			}
		}
		if len(got) != len(said) {
			t.Fatalf("%d of %d bytes arrive", len(got), len(said))
		}
		changed := 0
		for i := range got {
			if got[i] != said[i] {
				changed++
			}
		}
		if changed > 4 {
			t.Errorf("%d bytes are changed", changed)
		}
	})
}

// FuzzOpen reads URLs.
func FuzzOpen(f *testing.F) {
	for _, raw := range []string{"amqp://u:p@h:1/v?addr=i&heartbeat=3s", "amqps://h?auth=external&tls_ca=x", "amqp://h/%2F", "amqp://h?priority=quorum", "amqp:x", "http://h", "amqp://u:12/p@h"} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		c, err := parseRawURL(raw)
		if err == nil && (len(c.addrs) == 0 || c.heartbeat < time.Second || c.vhost == "") || err != nil && !errors.Is(err, driver.ErrConfig) {
			t.Errorf("%q: %+v, %v", raw, c, err)
		}
	})
}
