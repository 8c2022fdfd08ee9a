package sqs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/wire"
)

// FuzzReadMeta reads any text as the attribute: what is accepted is within bounds, makes
// a message that JSON can carry, and is written and read again as it is.
func FuzzReadMeta(f *testing.F) {
	for _, text := range []string{
		``, `{}`, `null`, `[]`, `{"v":1}`, `{"v":2,"kind":"k"}`, `{"v":1,"kind":"k"}`, `{"v":1,"kind":"a b"}`,
		`{"v":1,"kind":"k","failures":9223372036854775807}`, `{"v":1,"kind":"k","failures":-1,"deliveries":1e3}`,
		`{"v":1,"id":"two\nlines","kind":"k"}`, `{"v":1,"kind":"k","at":-62135596800000,"expires":253402300799999,"due":1,"delay":315360000000}`,
		`{"v":1,"kind":"k","headers":{"a":"\u0000\ud800"},"headers64":{"b":"/w=="}}`, `{"V":1,"KIND":"k","headers":null}`,
		`{"v":1,"id":"1","kind":"k","type":"text/plain","enc":"base64","at":1,"attempts":3,"timeout":5,"failures":1,"error":"\ufffe","bounces":2,"bounced":3,"deliveries":4,"lost":5,"reason":"expired","died":6}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := readMeta(text)
		if err != nil && !errors.Is(err, errNoKind) {
			if d.Kind != "" || d.ID != "" || d.Failures != 0 {
				t.Errorf("of what is refused (%v) there is left %+v", err, d)
			}
			return
		}
		again, err := readMeta(d.text())
		if err != nil && !errors.Is(err, errNoKind) || again.text() != d.text() && len(d.Headers)+len(d.Bytes) < 2 {
			t.Errorf("written and read again %q is %q: %v", d.text(), again.text(), err)
		}
		if !isText(d.text()) {
			t.Errorf("%q is no text that SQS takes", d.text())
		}
		r := &receipt{id: "m", meta: d, received: maxCount, sent: time.UnixMilli(wire.MaxTime), first: time.UnixMilli(0)}
		got, err := r.delivery()
		if err != nil {
			return // of the body's encoding
		}
		if got.Failures < 0 || got.Deliveries < 1 || got.Redeliveries < 0 || got.Bounces < 0 || got.Timeout < 0 || got.MaxAttempts < 0 {
			t.Errorf("a delivery out of bounds: %+v", got)
		}
		if _, err := json.Marshal(got.Message); err != nil {
			t.Errorf("%+v: %v", got.Message, err)
		}
	})
}

// FuzzBody writes any body and reads it again, and reads any text as a body.
func FuzzBody(f *testing.F) {
	for _, body := range []string{"", "-", "{}", "\x00", "\r\n", "a\tb", "\xff\xfe", "\ufffe", "\ufffd", "\xef\xbf", "\U0010ffff", "\xed\xa0\x80"} {
		f.Add([]byte(body), "base64")
		f.Add([]byte(body), "")
	}
	f.Fuzz(func(t *testing.T, body []byte, encoding string) {
		text, own := encodeBody(body)
		if !isText(text) || text == "" {
			t.Errorf("%q is written as %q", body, text)
		}
		if got, err := decodeBody(text, own); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%q is read as %q, %v", body, got, err)
		}
		_, _ = decodeBody(string(body), encoding)
	})
}

// answers is an HTTP client that answers everything with the same.
type answers struct {
	status int
	body   []byte
}

// Do answers.
func (a *answers) Do(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	return &http.Response{
		StatusCode: a.status, Request: r, ContentLength: int64(len(a.body)), Body: io.NopCloser(bytes.NewReader(a.body)),
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "Date": {"Thu, 01 Jan 2026 00:00:00 GMT"}},
	}, nil
}

// FuzzAnswer gives any bytes as the answer to every request: none ends the process, and
// none that is not SQS's makes an enqueue succeed.
func FuzzAnswer(f *testing.F) {
	for _, body := range []string{
		``, `{}`, `null`, `[]`, `{"Successful":[]}`, `{"Successful":[{}]}`, `{"Successful":[{"Id":null}],"Failed":[null]}`,
		`{"Successful":[{"Id":"0","MD5OfMessageBody":"x"}]}`, `{"Failed":[{"Id":"0","Code":"InternalError"}]}`,
		`{"QueueUrl":"http://fake/1/q"}`, `{"QueueUrl":null}`, `{"QueueUrls":["",null],"NextToken":"x"}`, `{"Attributes":{"MaximumMessageSize":"-1"}}`,
		`{"Messages":[{}]}`, `{"Messages":[null]}`, `{"Messages":[{"MessageId":"m","ReceiptHandle":"h","Body":"b","Attributes":{"SentTimestamp":"99999999999999999999","ApproximateReceiveCount":"-1","ApproximateFirstReceiveTimestamp":"x"}}]}`,
		`{"Messages":[{"MessageId":"m","ReceiptHandle":"h","Body":"b","MessageAttributes":{"batch":{"StringValue":"{\"v\":1,\"kind\":\"k\"}","DataType":"String"}},"Attributes":{"SentTimestamp":"1","ApproximateReceiveCount":"1","ApproximateFirstReceiveTimestamp":"1"}}]}`,
		`{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no"}`, `<html>`,
	} {
		for _, status := range []int{200, 400, 500} {
			f.Add(status, []byte(body))
		}
	}
	a := &answers{}
	answering := newClient(awssqs.New(awssqs.Options{
		Region: "us-east-1", HTTPClient: a, BaseEndpoint: aws.String("http://fake"),
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
	}))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 {
			return
		}
		a.status, a.body = status, body
		ctx := context.Background()
		q := &knownQueue{maxMessage: maxMessage, maxRequest: maxMessage}
		received, err := answering.receive(ctx, "http://fake/1/q", 10, 30, time.Second)
		_ = classify(errorOr(err))
		for _, r := range received {
			var a arrivals
			a.sort(r, maxMessage)
			_ = newDeadLetter(r, maxMessage)
			_ = r.redrivenEntry(maxMessage)
			for _, m := range a.moved {
				if m.entry.size() > maxMessage && m.old.size() <= maxMessage {
					t.Errorf("a message of %d bytes became one of %d", m.old.size(), m.entry.size())
				}
			}
			s := driver.Settlement{Outcome: driver.OutcomeDead, Reason: driver.ReasonTooLarge, Error: strings.Repeat("e", 2048), Strip: true}
			if e := (&consumer{}).settledEntry(&s, r, r.size()); e.size() > r.size() {
				t.Errorf("a message of %d bytes is stripped to %d", r.size(), e.size())
			}
		}
		if errs := answering.send(ctx, q, []*entry{{body: "b", attribute: "{}"}}); errs == nil && !bytes.Contains(body, []byte("99914b932bd37a50b983c5e7c90ae93b")) && !bytes.Contains(bytes.ToLower(body), []byte("md5ofmessageattributes")) {
			t.Errorf("an enqueue succeeded by %q", body)
		}
		_ = answering.delete(ctx, []*receipt{{url: "u", handle: "h"}})
		_, _ = answering.find(ctx, "q")
		_, _ = answering.create(ctx, "q", nil)
		_, _ = answering.list(ctx, "")
		if n, err := answering.count(ctx, "u"); err == nil && (n.sum() < driver.UnknownCount || n.sum() > 3*maxCount) {
			t.Errorf("counted %+v", n)
		}
	})
}

// errorOr is err, or one that stands for none.
func errorOr(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// FuzzNames takes names of SQS queues back to queues, and cursors to positions.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"", "mail", "mail-dead", "mail-dead-jobs", "mail.fifo", "p-mail-fifo-retry", "a/1/2/b", "a/-1/2/b", "a/1/99999999999999999999/b", "/0/0/"} {
		f.Add("", name, false)
		f.Add("p-", name, true)
	}
	f.Fuzz(func(t *testing.T, prefix, name string, fifo bool) {
		if queue, n, ok := queueIn(prefix, name, fifo); ok {
			back, err := newNames(prefix, queue, fifo)
			if err != nil || back != n || n.work != name {
				t.Errorf("%q is the queue %q, whose jobs are in %q: %v", name, queue, back.work, err)
			}
		}
		if c, err := parseCursor(name); err == nil {
			if again, err := parseCursor(c.String()); err != nil || name != "" && again != c {
				t.Errorf("the cursor %q is written as %q: %v", name, c.String(), err)
			}
		}
	})
}
