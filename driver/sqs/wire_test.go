package sqs

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
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

// No two queues share an SQS queue, and none has a name that SQS refuses.
func TestNames(t *testing.T) {
	var queues []string
	for _, stem := range []string{"a", "a-dead", "a-jobs", "a-retry", "a-fifo", "a-fifo-dead", "a-fifo-retry", "-dead", "dead"} {
		for _, end := range []string{"", "-dead", "-jobs", "-retry", "-fifo", "-jobs-dead", "-fifo-dead"} {
			queues = append(queues, stem+end)
		}
	}
	owner := make(map[string]string)
	done := make(map[string]bool)
	for _, queue := range queues {
		for _, fifo := range []bool{false, true} {
			key := fmt.Sprint(queue, fifo)
			if done[key] {
				continue
			}
			done[key] = true
			n, err := namesOf("", queue, fifo)
			if err != nil {
				t.Fatal(err)
			}
			for _, full := range []string{n.work, n.retry, n.dead} {
				if other, ok := owner[full]; ok && full != "" {
					t.Errorf("%s is used by %s and %s", full, other, key)
				}
				owner[full] = key
			}
		}
	}
	longest := strings.Repeat("x", 59) + deadSuffix
	for _, fifo := range []bool{false, true} {
		n, err := namesOf("", longest, fifo)
		if err != nil || len(n.dead) > 80 {
			t.Errorf("a name of 64 bytes: %+v, %v", n, err)
		}
	}
	if _, err := namesOf("prefix-", longest, true); err == nil {
		t.Error("a name that is too long was taken")
	}
}

func TestParse(t *testing.T) {
	for raw, want := range map[string]config{
		"sqs://eu-west-1":                          {region: "eu-west-1"},
		"sqs+fifo://eu-west-1/prod-":               {region: "eu-west-1", prefix: "prod-", fifo: true},
		"sqs:///prod-?profile=work":                {prefix: "prod-", profile: "work"},
		"sqs://k:s@r/?session_token=t":             {region: "r", key: "k", secret: "s", token: "t"},
		"sqs://r?endpoint=http://h:1&wait=20s":     {region: "r", endpoint: "http://h:1", wait: 20 * time.Second},
		"sqs://r?role_arn=a&external_id=e":         {region: "r", role: "a", externalID: "e"},
		"sqs://r?retention=96h&max_message=262144": {region: "r", retention: 96 * time.Hour, maxMessage: 262144},
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseURL(u)
		if err != nil || got != want.withDefaults() {
			t.Errorf("%s: %+v, %v", raw, got, err)
		}
	}
	for _, raw := range []string{
		"sqs://r:80", "sqs://r/a/b", "sqs://r/a.b", "sqs://r#x", "sqs://key@r", "sqs://r?wait=0s", "sqs://r?wait=21s", "sqs://r?wait=1500ms",
		"sqs://r?retention=15h1ms", "sqs://r?retention=400h", "sqs://r?max_message=1000", "sqs://r?endpoint=host", "sqs://r?endpoint=http://u:p@h",
		"sqs://r?external_id=e", "sqs://r?session_token=t", "sqs://r?unknown=1", "redis://r",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseURL(u); !errors.Is(err, driver.ErrConfig) {
			t.Errorf("%s: %v", raw, err)
		}
	}
	if _, err := Open(t.Context(), "sqs+fifo://r"); !errors.Is(err, driver.ErrConfig) {
		t.Errorf("Open of a FIFO URL: %v", err)
	}
	if _, err := Open(t.Context(), "sqs://k:hu sh%zz@r"); !errors.Is(err, driver.ErrConfig) || strings.Contains(err.Error(), "hu") {
		t.Errorf("a URL that cannot be parsed: %v", err)
	}
}

// A queue that somebody else made in a way that would lose jobs is refused.
func TestDeclareConflict(t *testing.T) {
	for attribute, value := range map[string]string{
		"RedrivePolicy":          `{"maxReceiveCount":"3","deadLetterTargetArn":"arn:aws:sqs:us-east-1:1:other"}`,
		"MessageRetentionPeriod": "3600",
		"MaximumMessageSize":     "1024",
	} {
		f := newFake()
		d := f.open(t)
		f.queues["q"].attributes[attribute] = value
		err := d.Declare(t.Context(), "q")
		if !errors.Is(err, driver.ErrConflict) || !strings.Contains(err.Error(), attribute) {
			t.Errorf("%s: %v", attribute, err)
		}
		closeAll(t, d)
	}
}
