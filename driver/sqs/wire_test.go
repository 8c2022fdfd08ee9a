package sqs

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// Any message survives being written and read, history included, and what is
// written is text that SQS takes.
func TestWireRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	text := func(n int) string {
		alphabet := []string{"a", "\"", "\\", "\x00", "\r", "\n", "\u2028", "\uFFFE", "\uFFFF", "\U0001F600", "<", "é"}
		var b strings.Builder
		for range random.IntN(n + 1) {
			b.WriteString(alphabet[random.IntN(len(alphabet))])
		}
		return b.String()
	}
	for range 2000 {
		m := job(fmt.Sprint("id-", random.Uint64()), 0)
		m.Body = []byte(text(20))
		if random.IntN(2) == 0 {
			m.Body = append(m.Body, 0xff)
		}
		if len(m.Body) == 0 {
			m.Body = nil
		}
		for range random.IntN(4) {
			if m.Headers == nil {
				m.Headers = make(map[string]string)
			}
			m.Headers[fmt.Sprint("h", random.IntN(9))] = text(5)
		}
		m.MaxAttempts, m.Timeout = random.IntN(9), time.Duration(random.IntN(9))*time.Millisecond
		if random.IntN(2) == 0 {
			m.ExpiresAt = m.EnqueuedAt.Add(time.Hour)
		}
		body, encoding := encodeBody(m.Body)
		d := newMeta(m, encoding)
		d.Failures, d.Deliveries, d.Error, d.Reason, d.Due = random.IntN(3), random.IntN(3), text(9), text(2), random.Int64N(3)
		d.Bounces, d.Bounced, d.Lost, d.Died = random.IntN(3), random.Int64N(3), random.IntN(3), random.Int64N(3)
		written := d.text()
		if !isText(written) || !isText(body) || body == "" {
			t.Fatalf("SQS does not take %q with %q", body, written)
		}
		back, err := readMeta(written)
		if err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		if !reflect.DeepEqual(back, d) {
			t.Fatalf("wrote %+v, read %+v", d, back)
		}
		decoded, err := decodeBody(body, back.Encoding)
		if err != nil {
			t.Fatal(err)
		}
		if got := back.message(decoded, time.Time{}); !reflect.DeepEqual(&got, m) {
			t.Fatalf("wrote %+v, read %+v", m, got)
		}
	}
}

// The largest body beside the largest headers, each at its worst for the encoding,
// and the longest error, fit into a message.
func TestLargestFits(t *testing.T) {
	for _, size := range []int{minMessage, maxMessage} {
		l := limitsFor(size)
		m := job(strings.Repeat("\"", 128), 0)
		m.Kind, m.ContentType = strings.Repeat("k", 128), strings.Repeat("\\", 128)
		m.Body = make([]byte, l.MaxBody)
		m.Headers = make(map[string]string)
		each := l.MaxHeaders / 100
		for i := range 100 {
			name := fmt.Sprintf("%064d", i)
			m.Headers[name] = strings.Repeat("\"", each-len(name))
		}
		body, encoding := encodeBody(m.Body)
		d := newMeta(m, encoding)
		d.Failures, d.Deliveries, d.Error, d.Reason = 1000, 1<<30, strings.Repeat("\x01", 2048), driver.ReasonUnknownKind
		d.Bounces, d.Bounced, d.Lost, d.Died = 1<<30, time.Now().UnixMilli(), 1<<30, time.Now().UnixMilli()
		d.Delay, d.Due = maxDelay.Milliseconds(), time.Now().UnixMilli()
		p := &entry{body: body, attribute: d.text()}
		if p.size() > size {
			t.Errorf("%d bytes do not fit into %d", p.size(), size)
		}
	}
}

// What is no job of ours is told apart, and what another producer left out has a
// default.
func TestReadMeta(t *testing.T) {
	for text, want := range map[string]error{
		`{"v":1,"kind":"k"}`:           nil,
		`{"v":1,"kind":"k","new":[1]}`: nil,
		`{"v":2,"kind":"k"}`:           errVersion,
		`{"kind":"k"}`:                 errVersion,
		`{"v":1}`:                      errNoKind,
	} {
		d, err := readMeta(text)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
		if err == nil && d.ContentType != "application/json" {
			t.Errorf("%s: the content type is %q", text, d.ContentType)
		}
	}
	for _, text := range []string{"", "no JSON", `[]`, `{"v":"1"}`} {
		if _, err := readMeta(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}
