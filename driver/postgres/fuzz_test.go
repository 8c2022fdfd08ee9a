package postgres

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/batch-go/batch/driver"
)

// FuzzRecord reads rows that others wrote: none is a panic, what is taken for a job is within its bounds, and its
// headers are stored as they are read.
func FuzzRecord(f *testing.F) {
	f.Add("a", "k", "application/json", []byte("{}"), int64(1760000000000), int64(0), int64(0), int64(0), `{"x":"eA=="}`, int64(1))
	f.Add("", "", "", []byte(nil), int64(-1)<<63, int64(1)<<62, int64(-5), int64(-1), `{"x":`, int64(-1))
	f.Add("a", "k", "t", []byte{0}, int64(1)<<62, int64(-1)<<63, int64(1)<<62, int64(1)<<40, `{"x":"%","x":null}`, int64(1)<<62)
	f.Add("a", "k", "t", []byte{0}, int64(0), int64(0), int64(0), int64(0), `null`, int64(0))
	f.Add("a", "k", "t", []byte{0}, int64(0), int64(0), int64(0), int64(0), `[1]`, int64(0))
	f.Fuzz(func(t *testing.T, id, kind, contentType string, body []byte, enqueued, expires, timeout, attempts int64, headers string, since int64) {
		most := int32(attempts)
		r := record{
			id: id, kind: kind, contentType: contentType, body: body, enqueuedAt: enqueued, expiresAt: &expires, timeout: &timeout,
			maxAttempts: &most, headers: &headers, level: int16(attempts), failures: int32(since), bouncedSince: &since,
		}
		m, err := r.message()
		delivery := &driver.Delivery{Message: m, Receipt: &receipt{damaged: err != nil}}
		if isReadable(delivery) {
			if m.EnqueuedAt.Year() > 9999 || m.ExpiresAt.Year() > 9999 || len(m.ID) > 128 || len(m.Kind) > 128 || m.ID == "" {
				t.Errorf("it is read as a job: %+v", m)
			}
			if stored := headersOf(m.Headers); stored != nil {
				again := record{headers: stored}
				if read, err := again.message(); err != nil || !reflect.DeepEqual(read.Headers, m.Headers) && utf8.ValidString(headers) {
					t.Errorf("headers %q are stored as %s and read as %q, %v", m.Headers, *stored, read.Headers, err)
				}
			}
		}
		for _, state := range []driver.State{driver.StateWaiting, driver.StateScheduled} {
			if _, err := json.Marshal(entryOf(&r, state, since)); err != nil {
				t.Errorf("it cannot be encoded: %v", err)
			}
		}
	})
}

// FuzzHeaders: headers are read as they were stored, whatever the values are.
func FuzzHeaders(f *testing.F) {
	f.Add("Tenant", "a\x00\xff", "b", "")
	f.Add("", `"`, `\`, "\u2028")
	f.Fuzz(func(t *testing.T, name, value, other, more string) {
		m := message("x", func(m *driver.Message) { m.Headers = map[string]string{name: value, other: more} })
		if checkText("op", "q", m, "") != nil {
			return
		}
		stored := headersOf(m.Headers)
		if !isText(*stored) || !json.Valid([]byte(*stored)) {
			t.Errorf("%q is stored as %q", m.Headers, *stored)
		}
		r := record{headers: stored}
		if read, err := r.message(); err != nil || !reflect.DeepEqual(read.Headers, m.Headers) {
			t.Errorf("%q is stored as %s and read as %q, %v", m.Headers, *stored, read.Headers, err)
		}
	})
}

// FuzzLiteral: an array as a literal has as many elements as there are texts, and each is read as it was: a reader
// of the documented form gets them back.
func FuzzLiteral(f *testing.F) {
	f.Add("", `"`, `\`)
	f.Add("NULL", "a,b", "{}")
	f.Add("'", " ", "\n")
	f.Fuzz(func(t *testing.T, one, two, three string) {
		texts := []string{one, two, three}
		written, _ := literal(texts).(string)
		if read, err := readArray(written); err != nil || !reflect.DeepEqual(read, texts) {
			t.Errorf("%q is written as %s and read as %q, %v", texts, written, read, err)
		}
		bodies := [][]byte{[]byte(one), []byte(two)}
		written, _ = literal(bodies).(string)
		if read, err := readArray(written); err != nil || len(read) != 2 || read[0] != fmt.Sprintf(`\x%x`, one) {
			t.Errorf("%q is written as %s and read as %q, %v", bodies, written, read, err)
		}
	})
}

// readArray reads an array of quoted elements.
func readArray(text string) ([]string, error) {
	text, ok := strings.CutPrefix(text, "{")
	if !ok {
		return nil, strconv.ErrSyntax
	}
	var all []string
	for strings.HasPrefix(text, `"`) {
		var one strings.Builder
		text = text[1:]
		for ; text != "" && text[0] != '"'; text = text[1:] {
			if text[0] == '\\' {
				text = text[1:]
			}
			if text == "" {
				break
			}
			one.WriteByte(text[0])
		}
		if text == "" {
			return all, strconv.ErrSyntax
		}
		all = append(all, one.String())
		text = strings.TrimPrefix(text[1:], ",")
	}
	if text != "}" {
		return all, strconv.ErrSyntax
	}
	return all, nil
}

// FuzzURL: no URL is a panic, and no error repeats the password.
func FuzzURL(f *testing.F) {
	for _, password := range []string{"", "hun/ter", "hun?ter", "hun#ter", "hun%zzter", "hun@ter", "hun:ter", "hun ter", "hun\x00ter", "[hunter", "hun&ter=1", "hun'ter", `hun\ter`} {
		f.Add("postgres", password, "host:5432/db", "schema=a&pool_size=3")
		f.Add("postgresql", password, "host:port,other/db", "sslmode=x")
		f.Add("postgres", password, "[::1/db", "sslrootcert=/nowhere&connect_timeout=fast")
	}
	f.Fuzz(func(t *testing.T, scheme, password, host, query string) {
		const secret = "s3cr3t-"
		address := scheme + "://user:" + secret + password + "@" + host + "?" + query
		_, err := parsed(address)
		if err != nil && !strings.Contains(scheme+host+query, secret) && strings.Contains(err.Error(), secret) {
			t.Errorf("%q: the error has the password: %v", address, err)
		}
	})
}

// FuzzSchema: a name of a schema is refused, or names that alone in every statement.
func FuzzSchema(f *testing.F) {
	for _, s := range []string{"batch", "a_1", "select", `a"b`, "a.b", "A", "", "pg_x", strings.Repeat("x", 49), "a';--", "batch."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		text, err := Schema(name)
		if err != nil {
			return
		}
		if len(name) > 48 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			t.Errorf("%q is taken for a schema", name)
		}
		for _, s := range append(statementsOf(name), text) {
			if name != "batch" && strings.Contains(strings.ReplaceAll(s, `"`+name+`"`, ""), "batch.") {
				t.Errorf("with %q a statement names another schema: %s", name, s)
			}
		}
	})
}

// FuzzCursor: a cursor is refused, or is read as the place that it was made of.
func FuzzCursor(f *testing.F) {
	for _, s := range []string{"", "1.2", "-1.9223372036854775807", "1", "a.b", "1.2.3", "9223372036854775807.1", " 1.2", "+1.2", "0x1.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		at, seq, err := readCursor("list", "q", cursor, 1)
		if err == nil && cursor != "" && fmt.Sprintf("%d.%d", at, seq) != cursor {
			t.Errorf("%q is read as %d, %d", cursor, at, seq)
		}
		if err == nil && time.UnixMicro(at).Year() > 1_000_000 {
			t.Errorf("%q is of the year %d", cursor, time.UnixMicro(at).Year())
		}
	})
}
