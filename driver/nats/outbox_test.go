package nats

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
)

// countedConn is a connection that keeps what is written, and counts the writes.
type countedConn struct {
	net.Conn
	text   strings.Builder
	writes int
}

// Write takes everything.
func (c *countedConn) Write(b []byte) (int, error) {
	c.writes++
	return c.text.Write(b)
}

// SetWriteDeadline does nothing.
func (*countedConn) SetWriteDeadline(time.Time) error { return nil }

// TestOutboxWritesAtOnce: what a call sends leaves in one write, or in some of 64 KiB, as a server
// reads it, and what the server would not take does not leave.
func TestOutboxWritesAtOnce(t *testing.T) {
	c := &countedConn{}
	o := outbox{link: &link{socket: &socket{Conn: c}, open: true, payload: 1 << 20}, direct: true}
	put := func(h header, data string) error { return o.put("a.b", "_INBOX.x.", 7, h, []byte(data)) }
	for range 100 {
		if err := put(newHeader("One", "1"), "body"); err != nil {
			t.Fatal(err)
		}
	}
	if err := put(newHeader("One", "1"), strings.Repeat("x", 1<<20)); !errors.Is(err, natsgo.ErrMaxPayload) {
		t.Errorf("too large: %v", err)
	}
	if err := o.put("c", "", 0, nil, nil); err != nil {
		t.Fatal(err)
	}
	if c.writes != 0 {
		t.Errorf("%d writes before the end", c.writes)
	}
	o.write()
	want := strings.Repeat("HPUB a.b _INBOX.x.7 20 24\r\nNATS/1.0\r\nOne: 1\r\n\r\nbody\r\n", 100) + "PUB c 0\r\n\r\n"
	if c.writes != 1 || c.text.String() != want {
		t.Errorf("%d writes: %q", c.writes, c.text.String())
	}
	c.writes = 0
	for range 100 {
		if err := put(nil, strings.Repeat("x", 10<<10)); err != nil {
			t.Fatal(err)
		}
	}
	o.write()
	o.write() // nothing is left
	if c.writes != 15 {
		t.Errorf("%d writes of 1 MiB", c.writes)
	}
	if err := put(nil, "dropped"); err != nil {
		t.Fatal(err)
	}
	o.drop()
	o.write()
	if strings.Contains(c.text.String(), "dropped") {
		t.Error("what was dropped left")
	}
}

// TestBatchIsNumbered: the messages of an atomic batch have its headers behind their own, and the last one commits it.
// Only the first and the last have answers.
func TestBatchIsNumbered(t *testing.T) {
	c := &countedConn{}
	r := &requests{reply: "_INBOX.x.", answers: make([]*natsgo.Msg, 2), out: outbox{
		link: &link{socket: &socket{Conn: c}, open: true, payload: 1 << 20}, direct: true,
	}}
	entries := []entry{{"a", newHeader("Long", strings.Repeat("x", 500)), []byte("1")}, {"b", newHeader("B", "2"), nil}, {"c", newHeader(), []byte("3")}}
	if err := new(Driver).sendBatch(r, entries); err != nil {
		t.Fatal(err)
	}
	r.out.write()
	_, id, _ := strings.Cut(c.text.String(), natsBatchID+": ")
	id, _, _ = strings.Cut(id, "\r\n")
	want := ""
	for i, e := range entries {
		more := []string{natsBatchID, id, natsBatchSeq, fmt.Sprint(i + 1)}
		reply := ""
		switch i {
		case 0:
			reply = "_INBOX.x.0"
		case 2:
			reply, more = "_INBOX.x.1", append(more, natsBatchCommit, "1")
		}
		want += string(appendMessage(nil, e.subject, []byte(reply), e.header.with(nil, more...), e.data))
	}
	if got := c.text.String(); got != want || id == "" {
		t.Errorf("%q\nwant %q", got, want)
	}
}

// TestHeaderIsOneLine: no value is taken for another header.
func TestHeaderIsOneLine(t *testing.T) {
	for _, h := range []header{newHeader("One", "1\r\nTwo: 2").with(nil, "Three", "3\n3", "Three", ""), newHeader("One", "1"), newHeader(), nil} {
		want := natsgo.Header(nil)
		if h != nil {
			var err error
			if want, err = natsgo.DecodeHeadersMsg(h); err != nil {
				t.Fatal(err)
			}
		}
		if got := h.parsed(); !maps.EqualFunc(got, want, slices.Equal) || want["Two"] != nil {
			t.Errorf("%q is %q, want %q", h, got, want)
		}
	}
	if !newHeader("One", "", "Two", "2").has("Two") || newHeader("One", "Two: 2").has("Two") {
		t.Error("a header is not told from a value")
	}
}

// TestManyAreWrittenByTheirCaller: no goroutine of the client library has a part in storing many
// jobs, and in settling them, whatever becomes of them.
func TestManyAreWrittenByTheirCaller(t *testing.T) {
	ctx, d, queue := plainQueue(t)
	const many = 100
	var messages []*driver.Message
	for i := range many {
		messages = append(messages, plainMessage(fmt.Sprint("job-", i), 10))
	}
	c, err := d.Consume(ctx, queue, driver.ConsumeOptions{Lease: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(ctx) }()
	byLibrary := func(what string, do func()) {
		t.Helper()
		before := d.conn.nc().Stats().OutMsgs
		do()
		if got := d.conn.nc().Stats().OutMsgs - before; got != 0 {
			t.Errorf("%s: the client library published %d messages", what, got)
		}
	}
	byLibrary("enqueue", func() {
		if r := d.Enqueue(ctx, queue, messages); r != nil {
			t.Fatal(r)
		}
	})
	for _, outcome := range []driver.Outcome{driver.OutcomeRetry, driver.OutcomeRelease, driver.OutcomeDone} {
		var all []driver.Settlement
		for len(all) < many {
			got, err := c.Receive(ctx, many)
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range got {
				if outcome != driver.OutcomeRetry && (g.Failures != 3 || g.LastError != "broken \r\n") {
					t.Errorf("the history is %d, %q", g.Failures, g.LastError)
				}
				all = append(all, driver.Settlement{Delivery: g, Outcome: outcome, Failures: 3, Error: "broken \r\n"})
			}
		}
		byLibrary(outcome.String(), func() {
			if errs := c.Settle(ctx, all); errs != nil {
				t.Fatal(errs)
			}
		})
	}
	if depth, err := d.Depth(ctx, queue); err != nil || depth != (driver.Depth{}) {
		t.Errorf("what is left: %+v, %v", depth, err)
	}
}

// TestOutboxByTheLibrary: where the driver may not write, behind TLS, the client library sends the
// same.
func TestOutboxByTheLibrary(t *testing.T) {
	ctx, d, queue := plainQueue(t)
	d.conn.current.Load().heard.Store(false)
	if r := d.Enqueue(ctx, queue, []*driver.Message{plainMessage("a", 10), plainMessage("b", 20)}); r != nil {
		t.Fatal(r)
	}
	list, _, err := d.List(ctx, queue, driver.StateWaiting, "", 10)
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, e := range list {
		if e.Headers["two"] != "\r\nNats-TTL: 1s" {
			t.Errorf("stored %+v", e.Message)
		}
	}
}
