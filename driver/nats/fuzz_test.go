package nats

import (
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/internal/wire"
)

// FuzzJob reads what the server may have of a job: no bytes are a panic, what is taken
// for a job is within the bounds of one, and survives being stored and read again.
func FuzzJob(f *testing.F) {
	f.Add([]byte("NATS/1.0\r\nBatch-Id: a\r\nBatch-Kind: k\r\nBatch-At: 1760000000000\r\n\r\n"), []byte("{}"))
	f.Add([]byte("NATS/1.0\r\nBatch-Id: a\r\nBatch-Kind: k\r\nBatch-At: 1\r\nBatch-H-x: =?eA\r\nBatch-Failures: 9223372036854775807\r\nBatch-Lost: -1\r\n\r\n"), []byte(nil))
	f.Add([]byte("NATS/1.0\r\nBatch-Id: a\r\nBatch-Kind: k\r\nBatch-At: 9223372036854775807\r\nBatch-Timeout: 9223372036854775807\r\nContent-Type: =?%%\r\n\r\n"), []byte("x"))
	f.Add([]byte("NATS/1.0\r\nBatch-Id: a b\r\nBatch-Key: \xff\r\nBatch-Gone: 1\r\nBatch-Error: =?\r\n\r\n"), []byte("x"))
	f.Add([]byte("NATS/1.0 503\r\n\r\n"), []byte{})
	f.Add([]byte("garbage"), []byte("garbage"))
	f.Fuzz(func(t *testing.T, header, body []byte) {
		found := newFound(&stored{Subject: "s", Seq: 1, Header: header, Data: body})
		if _, err := json.Marshal(found.letter()); err != nil {
			t.Errorf("a dead letter cannot be encoded: %v", err)
		}
		if !found.isJob {
			return
		}
		j := found.job
		if !wire.IsToken(j.ID) || !wire.IsToken(j.Kind) || min(j.failures, j.bounces, j.deliveries, j.lost, j.MaxAttempts, int(j.Timeout)) < 0 ||
			max(j.failures, j.bounces, j.deliveries, j.lost, j.MaxAttempts) > maxCount || len(j.ContentType) > maxType {
			t.Errorf("out of bounds: %+v", j)
		}
		if j.gone || j.ContentType == "" || strings.ContainsAny(j.reason, "\r\n") {
			return // nothing of ours, or marks that are not stored again
		}
		var again job
		h, err := natsgo.DecodeHeadersMsg(j.header())
		if err != nil || !again.read(h, j.Body) || !reflect.DeepEqual(again, j) {
			t.Errorf("stored as %v it is read as\n%+v, and was\n%+v", h, again, j)
		}
	})
}

// FuzzReceipt reads the subjects for acknowledgements.
func FuzzReceipt(f *testing.F) {
	f.Add("$JS.ACK.s.jobs.1.17.3.1760000000000000000.5")
	f.Add("$JS.ACK.hub.hash.s.jobs.2.17.3.1760000000000000000.5.x")
	f.Add("$JS.ACK.s.jobs.9223372036854775807.18446744073709551615.3.1.5")
	f.Add("........")
	f.Fuzz(func(t *testing.T, subject string) {
		if delivered, seq, ok := ackReply(subject); ok && (delivered < 1 || delivered > maxCount || seq < 1 || int64(seq) < 1) {
			t.Errorf("%q is delivery %d of %d", subject, delivered, seq)
		}
	})
}

// FuzzAnswer reads answers of the JetStream API and the ends of pulls.
func FuzzAnswer(f *testing.F) {
	f.Add("", "", []byte(`{"stream":"batch-q","seq":1}`))
	f.Add("", "", []byte(`{"error":{"code":503,"err_code":10077,"description":"x"},"stream":"batch-q"}`))
	f.Add("", "", []byte(`{"config":{"subjects":null,"max_msgs":-9223372036854775808},"state":{"last_seq":18446744073709551615,"subjects":{"a":1}},"ts":"0001-01-01T00:00:00Z"}`))
	f.Add("", "", []byte(`{"num_pending":-1,"delivered":{"stream_seq":18446744073709551615},"cluster":{}}`))
	f.Add("", "", []byte(`{"message":{"subject":"s","seq":1,"hdrs":"TkFUUy8xLjANCg0K","data":"eA=="}}`))
	f.Add("503", "", []byte(nil))
	f.Add("409", "Consumer Deleted", []byte(nil))
	f.Add("408", "Requests Pending", []byte(nil))
	f.Fuzz(func(t *testing.T, status, description string, data []byte) {
		m := &natsgo.Msg{Header: natsgo.Header{"Status": {status}, "Description": {description}}, Data: data}
		n := newNames("batch", "q")
		if ack, err := readAck(n, m); err == nil && ack.Seq == 0 {
			t.Errorf("an answer without a sequence is %+v", ack)
		}
		var stream streamInfo
		if readAnswer("s", m, &stream) == nil {
			_ = n.compareStream(&stream, 0) // an error is one of what it finds
		}
		var consumer consumerInfo
		if readAnswer("s", m, &consumer) == nil {
			_ = n.compareConsumer(n.consumer(consumerJobs), &consumer) // likewise
		}
		var one struct {
			Message *stored `json:"message"`
		}
		if readAnswer("s", m, &one) == nil && one.Message != nil {
			newFound(one.Message)
			markedBy(one.Message)
		}
		if err := pullEnd(m); err != nil && faults.Verdict(err).Kind == nil {
			t.Errorf("%v has no kind", err)
		}
	})
}

// FuzzSubject reads subjects: those of scheduled jobs, and those of answers.
func FuzzSubject(f *testing.F) {
	f.Add("batch.q.later.001760000000000.YQ.x", "1.0")
	f.Add("batch.q.later.999999999999999999.YQ.x", "zzzzzzzzzzzzzzzz.-1")
	f.Add("batch.q.later.-9223372036854775808", ".")
	f.Fuzz(func(t *testing.T, subject, answer string) {
		n := newNames("batch", "q")
		if due, _, ok := n.dueOf(subject); ok {
			if _, err := json.Marshal(due); err != nil {
				t.Errorf("%q is due at a time that cannot be encoded: %v", subject, err)
			}
		}
		l := &link{inbox: "_INBOX.x."}
		c := &connection{pending: map[uint64]*requests{1: {link: l, done: make(chan struct{}), answers: make([]*natsgo.Msg, 2), left: 2}}}
		c.dispatch(l, &natsgo.Msg{Subject: l.inbox + answer})
		c.dispatch(l, &natsgo.Msg{Subject: answer})
	})
}

// FuzzPermission reads what the server says of a permission that it refuses.
func FuzzPermission(f *testing.F) {
	f.Add(`Permissions Violation for Publish to "batch.q.job"`)
	f.Add(`Permissions Violation for Subscription to "_INBOX.x.>"`)
	f.Add(`"`)
	f.Fuzz(func(_ *testing.T, text string) {
		c := &connection{pending: map[uint64]*requests{}, listeners: map[listener]struct{}{}}
		c.current.Store(&link{inbox: "_INBOX.x."})
		c.onError(fmt.Errorf("%w: %s", natsgo.ErrPermissionViolation, text))
	})
}

// FuzzURL reads URLs: none is a panic, and no error repeats the password.
func FuzzURL(f *testing.F) {
	f.Add("nats://u:Pa55phrase@a:4222,b?replicas=3&prefix=p&dedup_window=1h")
	f.Add("tls://Pa55phrase@[::1]?tls_server_name=x&tls_ca=/nowhere")
	f.Add("nats+tls://u:Pa55phrase%zz@a?dial_timeout=-1s&group_commit=maybe")
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := url.Parse(raw)
		if err != nil || u.User == nil {
			return
		}
		_, err = parseURL(u)
		if password, ok := u.User.Password(); err != nil && ok && len(password) > 8 && strings.Count(raw, password) == 1 && strings.Contains(err.Error(), password) {
			t.Errorf("%q: %v", raw, err)
		}
	})
}
