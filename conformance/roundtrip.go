package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var roundTripCases = []Case{
	{Name: "fields", Rule: "Every field of a message arrives as it was enqueued, at its bounds too.", run: caseFields},
	{Name: "bodies", Rule: "Any bytes are a body: none, NUL, invalid UTF-8, what the broker's protocol uses itself.", run: caseBodies},
	{Name: "body-large", Rule: "A body of a mebibyte, or of MaxBody if that is less, arrives byte for byte.", run: caseBodyLarge},
	{Name: "headers", Rule: "Up to 100 headers arrive with any bytes as values and their names' case kept.", run: caseHeaders},
	{Name: "headers-too-many", Rule: "10 000 headers are refused by an error that names the bound, and nothing is sent.", run: caseHeadersTooMany},
	{Name: "headers-too-large", Rule: "Headers over MaxHeaders are refused by an error that wraps ErrTooLarge and names the bound, and nothing is sent.", run: caseHeadersTooLarge},
	{Name: "body-too-large", Rule: "A body over MaxBody is refused by an error that wraps ErrTooLarge and names the bound, and nothing is sent.", heavy: true, run: caseBodyTooLarge},
	{Name: "body-too-large-driver", Rule: "A driver that is handed a body over MaxBody stores it whole or refuses it with ErrTooLarge, FateNotStored and in time, with no harm to others of the call; the queue goes on.", heavy: true, run: caseBodyTooLargeDriver},
	{Name: "history-text", Rule: "The error of a retry and of a dead letter arrives with every character and at its full 2048 bytes.", run: caseHistoryText},
}

// roundTrip enqueues messages from one handle, receives them on another and
// compares.
func (s *stage) roundTrip(all ...*driver.Message) {
	s.put(s.declared(), all...)
	sent := make(map[string]*driver.Message)
	for _, m := range all {
		sent[m.ID] = m
	}
	c := s.consume(s.open(), len(all))
	for _, d := range s.receive(c, len(all)) {
		want, ok := sent[d.ID]
		if !ok {
			s.failf("received %s, which was not enqueued or came before", d.ID)
		}
		delete(sent, d.ID)
		s.check(sameMessage(&d.Message, want), "received")
		if d.Failures != 0 || d.LastError != "" || d.Deliveries != 1 || d.Redeliveries != 0 {
			s.failf("the history of %s on its first delivery: Failures %d, LastError %q, Deliveries %d, Redeliveries %d", d.ID, d.Failures, d.LastError, d.Deliveries, d.Redeliveries)
		}
		s.settle(c, d, driver.OutcomeDone)
	}
}

func caseFields(s *stage) {
	bare := message(strings.Repeat("!~", 64)) // the longest ID of the outermost characters
	bare.Kind, bare.ContentType = "k", "c"
	s.roundTrip(full("full"), bare, message("plain"))
}

func caseBodies(s *stage) {
	var all []*driver.Message
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	random := make([]byte, 4097)
	for i := range random {
		random[i] = byte(s.random.Uint32())
	}
	for i, body := range [][]byte{nil, {}, {0}, []byte("\x00\x00a\x00"), []byte("\xff\xfe\xc3("), []byte("\r\n$-1\r\n+PING\r\n"), []byte(`{"unclosed": "`), []byte("<![CDATA[ ]]> &amp;"), every, random} {
		m := message(name(i))
		m.Body = body
		all = append(all, m)
	}
	s.roundTrip(all...)
}

func caseBodyLarge(s *stage) {
	m := message("large")
	m.Body = make([]byte, min(1<<20, s.info.Limits.MaxBody))
	for i := range m.Body {
		m.Body[i] = byte(s.random.Uint32())
	}
	s.roundTrip(m)
}

func caseHeaders(s *stage) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	many := message("many")
	many.Headers = map[string]string{"all-bytes": string(every)}
	for i := len(many.Headers); i < 100; i++ {
		many.Headers[fmt.Sprintf("Header_%d.x", i)] = fmt.Sprintf("value %d", i)
	}
	cases := message("cases")
	cases.Headers = map[string]string{"a": "1", "A": "2", "content-type": "3", "Content-Type": "4", "id": "5", "ID": "6", "x-delay": "7", "_": "8", ".": "9", "-": "10"}
	long := message("long")
	value := strings.Repeat("v", min(4096, s.info.Limits.MaxHeaders-64))
	long.Headers = map[string]string{strings.Repeat("n", 64): value}
	s.roundTrip(many, cases, long)
}

func caseHeadersTooMany(s *stage) {
	q := s.portable()
	headers := make(map[string]string)
	for i := range 10_000 {
		headers[fmt.Sprintf("h%d", i)] = ""
	}
	s.refused(q, batch.ErrInvalid, "100", batch.Headers(q, headers))
	var one []batch.Option[driver.Driver]
	for name := range headers {
		one = append(one, batch.Header(q, name, ""))
	}
	s.refused(q, batch.ErrInvalid, "100", one...)
}

func caseHeadersTooLarge(s *stage) {
	q := s.portable()
	value := strings.Repeat("v", s.info.Limits.MaxHeaders)
	s.refused(q, batch.ErrTooLarge, fmt.Sprint(s.info.Limits.MaxHeaders), batch.Header(q, "h", value))
}

// refused ends the case unless an enqueue fails with an error that wraps want and
// contains bound, with nothing sent.
func (s *stage) refused(q *portable, want error, bound string, options ...batch.Option[driver.Driver]) {
	_, err := q.Enqueue(s.ctx, task{}, options...)
	s.wantRefusal(err, want, bound)
	s.emptyAfterRefusal(q)
}

func (s *stage) wantRefusal(err, want error, bound string) {
	s.is(err, want, "an enqueue out of bounds")
	s.is(err, batch.ErrInvalid, "an enqueue out of bounds")
	var typed *batch.InvalidError
	if !errors.As(err, &typed) || !strings.Contains(err.Error(), bound) {
		s.failf("the error must be an *InvalidError that names the bound %s: %v", bound, err)
	}
}

// emptyAfterRefusal ends the case if the queue has a job.
func (s *stage) emptyAfterRefusal(q *portable) {
	s.check(q.Declare(s.ctx), "declare")
	c := s.consume(q.Driver(), 1)
	s.receiveNone(c, 100*time.Millisecond, "it was refused")
	s.check(c.Close(s.ctx), "close the consumer")
}

// raw is args that are their own body.
type raw []byte

// Kind is that of every raw job.
func (raw) Kind() string { return "conformance.raw" }

// rawCodec encodes raw args.
type rawCodec struct{}

func (rawCodec) ContentType() string             { return "application/octet-stream" }
func (rawCodec) Encode(args any) ([]byte, error) { return args.(raw), nil }
func (rawCodec) Decode(body []byte, args any) error {
	*args.(*raw) = bytes.Clone(body)
	return nil
}

func caseBodyTooLarge(s *stage) {
	if s.info.Limits.MaxBody == math.MaxInt {
		s.failf("Limits.MaxBody is no limit")
	}
	q := queueOf[driver.Driver](s, s.open(), batch.WithCodec(rawCodec{}))
	_, err := q.Enqueue(s.ctx, raw(make([]byte, s.info.Limits.MaxBody+1)))
	s.wantRefusal(err, batch.ErrTooLarge, fmt.Sprint(s.info.Limits.MaxBody))
	s.emptyAfterRefusal(q)
}

func caseBodyTooLargeDriver(s *stage) {
	d := s.declared()
	large := message("large")
	large.Body = make([]byte, s.info.Limits.MaxBody+1)
	_, keys := bare(d).(driver.Deduplicator)
	if keys {
		large.DedupKey = "key"
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.patience())
	defer cancel()
	// The others have room beside it, as EnqueueBytes is for MaxHeaders too.
	want := []*driver.Message{message("before"), message("after"), message("last")}
	call := []*driver.Message{want[0], large, want[1]}
	if s.info.Limits.EnqueueBatch < len(call) {
		s.put(d, want[:2]...)
		call = call[1:2]
	}
	results := d.Enqueue(ctx, s.queue, call)
	refused := false
	for i, r := range results {
		switch {
		case call[i] != large:
			s.check(r.Err, "enqueue %s in one call with a body over MaxBody", call[i].ID)
		case r.Err != nil:
			refused = true
			s.is(r.Err, driver.ErrTooLarge, "enqueue a body over MaxBody")
			equal(s, driver.FateOf(r.Err), driver.FateNotStored, "the fate of a body over MaxBody")
		}
	}
	switch {
	case !refused:
		want = append(want, large)
	case keys:
		want[2].DedupKey = large.DedupKey // which is free
	}
	s.put(d, want[2])
	if a, ok := bare(d).(batch.AtomicEnqueuer); ok && refused && a.AtomicLimit() > 1 {
		large.DedupKey = ""
		err := a.EnqueueAtomic(ctx, s.queue, []*driver.Message{message("none"), large})
		s.is(err, driver.ErrTooLarge, "enqueue a body over MaxBody atomically")
		equal(s, driver.FateOf(err), driver.FateNotStored, "the fate of an atomic enqueue with a body over MaxBody")
	}
	c := s.consume(d, len(want))
	for _, got := range s.receive(c, len(want)) {
		for _, m := range want {
			if m.ID == got.ID {
				s.check(sameMessage(&got.Message, m), "received")
			}
		}
		s.settle(c, got, driver.OutcomeDone)
	}
	s.waitDepth(d, driver.Depth{})
}

func caseHistoryText(s *stage) {
	d := s.declared()
	s.put(d, message("job"))
	c := s.consume(d, 1)
	text := " \nline\n\ttab \x00 \"quote\" '\\' \u00e9\u4e16\U0001F600 "
	text += strings.Repeat("x", 2046-len(text)) + "\n "
	s.settleAs(c, driver.Settlement{Delivery: s.receiveOne(c), Outcome: driver.OutcomeRetry, Failures: 7, Error: text})
	again := s.receiveOne(c)
	equal(s, again.LastError, text, "LastError after a retry")
	equal(s, again.Failures, 7, "Failures after a retry")
	s.settleAs(c, driver.Settlement{Delivery: again, Outcome: driver.OutcomeDead, Failures: 8, Reason: driver.ReasonAttempts, Error: text})
	dead := s.waitDeadLetters(d, 1)[0]
	equal(s, dead.LastError, text, "LastError of the dead letter")
	equal(s, dead.Failures, 8, "Failures of the dead letter")
}
