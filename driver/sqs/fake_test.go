package sqs

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
)

// fakeSQS is SQS as AWS documents it, in the process and by the clock of package
// time, so that a test in a bubble can let weeks pass. It is strict where the test
// server is not: receipt handles, the twelve hours of a visibility timeout, the
// fifteen minutes of a delay, what a body may contain, retention, and the minute
// after a deletion.
type fakeSQS struct {
	// intercept answers a request itself if it returns true.
	intercept func(action string, in *fakeRequest) (status int, out any, ok bool)

	// sampled, if it is not zero, is how many messages a poll brings at most, however many it
	// asks for and there are, as SQS's often do.
	sampled int

	// without is a system attribute that the fake does not tell, damage the ID of a
	// message that it hands out damaged, and odd are attributes of queues as they are not.
	without, damage string
	odd             map[string]string

	mu      sync.Mutex // guards following
	queues  map[string]*fakeQueue
	deleted map[string]time.Time
	calls   []string
	serial  int
	changed chan struct{} // closed when messages were added
}

type fakeQueue struct {
	attributes map[string]string
	messages   []*fakeMessage
}

type fakeMessage struct {
	id, body   string
	attributes map[string]fakeAttribute
	sent       time.Time
	visible    time.Time
	first      time.Time
	taken      time.Time
	handle     string
	received   int
	token      string
}

type fakeAttribute struct{ DataType, StringValue string }

type fakeRequest struct {
	QueueName, QueueURL   string
	QueueNamePrefix       string
	MaxResults            int
	NextToken             string
	Attributes            map[string]string
	MaxNumberOfMessages   int
	VisibilityTimeout     int
	WaitTimeSeconds       int
	Entries               []fakeEntry
	MessageAttributeNames []string
}

type fakeEntry struct {
	ID, MessageBody, ReceiptHandle string
	DelaySeconds                   int
	VisibilityTimeout              int
	MessageAttributes              map[string]fakeAttribute
	MessageDeduplicationID         string
	MessageGroupID                 string
}

func newFake() *fakeSQS {
	return &fakeSQS{queues: make(map[string]*fakeQueue), deleted: make(map[string]time.Time), changed: make(chan struct{})}
}

// client is an SDK client of the fake.
func (f *fakeSQS) client() *awssqs.Client {
	return awssqs.New(awssqs.Options{
		Region: "us-east-1", HTTPClient: f, BaseEndpoint: aws.String("http://fake"),
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
	})
}

// open makes a driver on the fake with a queue "q", which keeps messages for a
// day.
func (f *fakeSQS) open(t testing.TB) *Driver {
	t.Helper()
	d, err := New(t.Context(), f.client(), Options{Wait: 20 * time.Second, Retention: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Declare(t.Context(), "q"); err != nil {
		t.Fatal(err)
	}
	return d
}

// openFIFO is open for FIFO queues.
func (f *fakeSQS) openFIFO(t testing.TB) *FIFODriver {
	t.Helper()
	d, err := NewFIFO(t.Context(), f.client(), Options{Wait: 20 * time.Second, Retention: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Declare(t.Context(), "q"); err != nil {
		t.Fatal(err)
	}
	return d
}

// both runs a test on a new fake with each of the two types, in a bubble.
func both(t *testing.T, test func(t *testing.T, f *fakeSQS, open func() testDriver)) {
	for name, fifo := range map[string]bool{"standard": false, "fifo": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				test(t, f, func() testDriver {
					if fifo {
						return f.openFIFO(t)
					}
					return f.open(t)
				})
			})
		})
	}
}

type fakeError struct {
	status        int
	code, message string
}

// Do answers a request.
func (f *fakeSQS) Do(request *http.Request) (*http.Response, error) {
	text, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	_, action, _ := strings.Cut(request.Header.Get("X-Amz-Target"), ".")
	in := &fakeRequest{}
	if err := json.Unmarshal(text, in); err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.calls = append(f.calls, action)
	f.mu.Unlock()
	status, out := http.StatusOK, any(nil)
	answered := false
	if f.intercept != nil {
		status, out, answered = f.intercept(action, in)
	}
	if !answered {
		var failed *fakeError
		out, failed, err = f.act(request.Context(), action, in)
		if err != nil {
			return nil, err
		}
		status = http.StatusOK
		if failed != nil {
			status, out = failed.status, map[string]string{"__type": "com.amazonaws.sqs#" + failed.code, "message": failed.message}
		}
	}
	body, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status, Request: request, ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "Date": {time.Now().UTC().Format(http.TimeFormat)}},
	}, nil
}

// count is how often an action was called.
func (f *fakeSQS) count(action string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.calls {
		if c == action {
			n++
		}
	}
	return n
}

func (f *fakeSQS) act(ctx context.Context, action string, in *fakeRequest) (any, *fakeError, error) {
	if action == "ReceiveMessage" {
		return f.receive(ctx, in)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if in.QueueName == "" {
		in.QueueName = strings.TrimPrefix(in.QueueURL, "http://fake/1/")
	}
	q := f.queues[in.QueueName]
	if action == "ListQueues" {
		return f.list(in), nil, nil
	}
	if action == "CreateQueue" {
		if at, ok := f.deleted[in.QueueName]; ok && time.Since(at) < time.Minute {
			return nil, &fakeError{400, "QueueDeletedRecently", "You must wait 60 seconds after deleting a queue"}, nil
		}
		if q == nil {
			f.queues[in.QueueName] = &fakeQueue{attributes: in.Attributes}
		}
		return map[string]string{"QueueUrl": "http://fake/1/" + in.QueueName}, nil, nil
	}
	if q == nil {
		return nil, &fakeError{400, "QueueDoesNotExist", "The specified queue does not exist."}, nil
	}
	switch action {
	case "GetQueueUrl":
		return map[string]string{"QueueUrl": "http://fake/1/" + in.QueueName}, nil, nil
	case "GetQueueAttributes":
		all := map[string]string{"MaximumMessageSize": "1048576"}
		for name, value := range q.attributes {
			all[name] = value
		}
		var visible, hidden, delayed int
		for _, m := range q.messages {
			switch {
			case !m.visible.After(time.Now()):
				visible++
			case m.received > 0:
				hidden++
			default:
				delayed++
			}
		}
		all["ApproximateNumberOfMessages"], all["ApproximateNumberOfMessagesNotVisible"], all["ApproximateNumberOfMessagesDelayed"] = strconv.Itoa(visible), strconv.Itoa(hidden), strconv.Itoa(delayed)
		maps.Copy(all, f.odd)
		return map[string]any{"Attributes": all}, nil, nil
	case "DeleteQueue":
		delete(f.queues, in.QueueName)
		f.deleted[in.QueueName] = time.Now()
		return map[string]any{}, nil, nil
	}
	if action == "SendMessageBatch" {
		total, most := 0, q.maxMessage()
		for _, e := range in.Entries {
			total += e.size()
			if e.size() > most {
				return nil, &fakeError{400, "InvalidParameterValue", fmt.Sprintf("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", most)}, nil
			}
		}
		if total > 1<<20 {
			return nil, &fakeError{400, "BatchRequestTooLong", "Batch requests cannot be longer than 1048576 bytes."}, nil
		}
	}
	return f.batch(action, q, in), nil, nil
}

// maxMessage is how many bytes a message may have.
func (q *fakeQueue) maxMessage() int {
	if n, err := strconv.Atoi(q.attributes["MaximumMessageSize"]); err == nil {
		return n
	}
	return 1 << 20
}

// size is what SQS counts of a message.
func (e *fakeEntry) size() int {
	n := len(e.MessageBody)
	for name, a := range e.MessageAttributes {
		n += len(name) + len(a.DataType) + len(a.StringValue)
	}
	return n
}

// put stores a message as another producer would.
func (f *fakeSQS) put(t testing.TB, queue, body string, attributes map[string]string) {
	t.Helper()
	e := fakeEntry{MessageBody: body, MessageAttributes: make(map[string]fakeAttribute)}
	for name, value := range attributes {
		e.MessageAttributes[name] = fakeAttribute{"String", value}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if e.size() > 1<<20 || len(attributes) > 10 {
		t.Fatalf("a message of %d bytes and %d attributes", e.size(), len(attributes))
	}
	if _, refused := f.store(f.queues[queue], e); refused != nil {
		t.Fatal(refused.message)
	}
}

// list answers ListQueues, by pages of two at most.
func (f *fakeSQS) list(in *fakeRequest) any {
	var urls []string
	out := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(f.queues)) {
		if !strings.HasPrefix(name, in.QueueNamePrefix) || name <= in.NextToken {
			continue
		}
		if len(urls) == min(in.MaxResults, 2) {
			out["NextToken"] = strings.TrimPrefix(urls[len(urls)-1], "http://fake/1/")
			break
		}
		urls = append(urls, "http://fake/1/"+name)
	}
	out["QueueUrls"] = urls
	return out
}

// size is how many messages an SQS queue has.
func (f *fakeSQS) size(queue string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.queues[queue].messages)
}

// names are those of the SQS queues that there are.
func (f *fakeSQS) names() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.queues))
}

// batch carries out the actions that take entries.
func (f *fakeSQS) batch(action string, q *fakeQueue, in *fakeRequest) any {
	done, failed := []map[string]string{}, []map[string]any{}
	for _, e := range in.Entries {
		var refused *fakeError
		row := map[string]string{"Id": e.ID}
		switch action {
		case "SendMessageBatch":
			var m *fakeMessage
			if m, refused = f.store(q, e); refused == nil {
				row["MessageId"], row["MD5OfMessageBody"] = m.id, sum(m.body)
				if len(m.attributes) > 0 {
					row["MD5OfMessageAttributes"] = sumAttributes(m.attributes)
				}
			}
		case "DeleteMessageBatch":
			if i, r := q.held(e.ReceiptHandle); r != nil {
				refused = r
			} else if i >= 0 {
				q.messages = append(q.messages[:i], q.messages[i+1:]...)
			}
		case "ChangeMessageVisibilityBatch":
			refused = f.change(q, e)
		}
		if refused != nil {
			failed = append(failed, map[string]any{"Id": e.ID, "Code": refused.code, "Message": refused.message, "SenderFault": true})
		} else {
			done = append(done, row)
		}
	}
	return map[string]any{"Successful": done, "Failed": failed}
}

func (f *fakeSQS) store(q *fakeQueue, e fakeEntry) (*fakeMessage, *fakeError) {
	if e.DelaySeconds > 900 || e.DelaySeconds < 0 {
		return nil, &fakeError{400, "InvalidParameterValue", "Value for parameter DelaySeconds is invalid."}
	}
	texts := []string{e.MessageBody}
	for _, a := range e.MessageAttributes {
		texts = append(texts, a.StringValue)
	}
	for _, text := range texts {
		for _, r := range text {
			if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
				return nil, &fakeError{400, "InvalidMessageContents", "Invalid characters"}
			}
		}
		if text == "" {
			return nil, &fakeError{400, "MissingParameter", "The request must contain the parameter MessageBody."}
		}
	}
	for _, other := range q.messages {
		if e.MessageDeduplicationID != "" && other.token == e.MessageDeduplicationID {
			return other, nil
		}
	}
	f.serial++
	m := &fakeMessage{
		id: fmt.Sprintf("m%d", f.serial), body: e.MessageBody, attributes: e.MessageAttributes, token: e.MessageDeduplicationID,
		sent: time.Now(), visible: time.Now().Add(time.Duration(e.DelaySeconds) * time.Second),
	}
	q.messages = append(q.messages, m)
	close(f.changed)
	f.changed = make(chan struct{})
	return m, nil
}

// held finds a message by its handle, as a standard queue does: by the handle of
// the last receive it can be deleted even late; by an older one nothing happens.
func (q *fakeQueue) held(handle string) (int, *fakeError) {
	if !strings.HasPrefix(handle, "h") {
		return -1, &fakeError{400, "ReceiptHandleIsInvalid", "The input receipt handle is invalid."}
	}
	for i, m := range q.messages {
		if m.handle == handle {
			return i, nil
		}
	}
	return -1, nil
}

func (f *fakeSQS) change(q *fakeQueue, e fakeEntry) *fakeError {
	i, refused := q.held(e.ReceiptHandle)
	if refused != nil {
		return refused
	}
	if i < 0 || !q.messages[i].visible.After(time.Now()) {
		return &fakeError{400, "MessageNotInflight", "The specified message isn't in flight."}
	}
	m := q.messages[i]
	until := time.Now().Add(time.Duration(e.VisibilityTimeout) * time.Second)
	if until.Sub(m.taken) > 12*time.Hour {
		return &fakeError{400, "InvalidParameterValue", "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]"}
	}
	m.visible = until
	if e.VisibilityTimeout == 0 {
		close(f.changed)
		f.changed = make(chan struct{})
	}
	return nil
}

// receive hands out messages, and waits for one.
func (f *fakeSQS) receive(ctx context.Context, in *fakeRequest) (any, *fakeError, error) {
	deadline := time.NewTimer(time.Duration(in.WaitTimeSeconds) * time.Second)
	defer deadline.Stop()
	for {
		f.mu.Lock()
		q := f.queues[strings.TrimPrefix(in.QueueURL, "http://fake/1/")]
		if q == nil {
			f.mu.Unlock()
			return nil, &fakeError{400, "QueueDoesNotExist", "The specified queue does not exist."}, nil
		}
		if f.sampled > 0 {
			in.MaxNumberOfMessages = min(in.MaxNumberOfMessages, f.sampled)
		}
		rows, next := q.take(in)
		for _, row := range rows {
			delete(row["Attributes"].(map[string]string), f.without)
			if row["MessageId"] == f.damage {
				row["Body"] = "damaged"
			}
		}
		changed := f.changed
		f.mu.Unlock()
		if len(rows) > 0 {
			return map[string]any{"Messages": rows}, nil, nil
		}
		due := time.NewTimer(next)
		select {
		case <-changed:
		case <-due.C:
		case <-deadline.C:
			due.Stop()
			return map[string]any{}, nil, nil
		case <-ctx.Done():
			due.Stop()
			return nil, nil, ctx.Err()
		}
		due.Stop()
	}
}

// take hands out what is visible, or says when something will be.
func (q *fakeQueue) take(in *fakeRequest) (rows []map[string]any, next time.Duration) {
	now := time.Now()
	next = time.Hour
	kept := q.messages[:0]
	retention, _ := strconv.Atoi(q.attributes["MessageRetentionPeriod"])
	for _, m := range q.messages {
		if now.Sub(m.sent) < time.Duration(retention)*time.Second {
			kept = append(kept, m)
		}
	}
	q.messages = kept
	for _, m := range q.messages {
		if m.visible.After(now) {
			next = min(next, m.visible.Sub(now))
			continue
		}
		if len(rows) == in.MaxNumberOfMessages {
			break
		}
		m.received++
		if m.first.IsZero() {
			m.first = now
		}
		attributes := make(map[string]fakeAttribute)
		for name, a := range m.attributes {
			if slices.Contains(in.MessageAttributeNames, name) {
				attributes[name] = a
			}
		}
		m.taken, m.handle = now, fmt.Sprintf("h-%s-%d", m.id, m.received)
		m.visible = now.Add(time.Duration(in.VisibilityTimeout) * time.Second)
		rows = append(rows, map[string]any{
			"MessageId": m.id, "ReceiptHandle": m.handle, "Body": m.body, "MD5OfBody": sum(m.body), "MessageAttributes": attributes,
			"MD5OfMessageAttributes": sumAttributes(attributes),
			"Attributes": map[string]string{
				"SentTimestamp":                    strconv.FormatInt(m.sent.UnixMilli(), 10),
				"ApproximateReceiveCount":          strconv.Itoa(m.received),
				"ApproximateFirstReceiveTimestamp": strconv.FormatInt(m.first.UnixMilli(), 10),
			},
		})
	}
	return rows, next
}

func sum(s string) string {
	h := md5.Sum([]byte(s))
	return hex.EncodeToString(h[:])
}

// sumAttributes is the checksum of attributes as AWS documents it, by a hash that is
// written to piece by piece.
func sumAttributes(attributes map[string]fakeAttribute) string {
	h := md5.New()
	piece := func(s string) {
		_ = binary.Write(h, binary.BigEndian, int32(len(s)))
		_, _ = io.WriteString(h, s)
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		piece(name)
		piece(attributes[name].DataType)
		_, _ = h.Write([]byte{1})
		piece(attributes[name].StringValue)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// refuseEntry is an answer to an entry that the fake refuses.
func refuseEntry(id, code string) map[string]any {
	return map[string]any{"Id": id, "Code": code, "Message": code, "SenderFault": true}
}
