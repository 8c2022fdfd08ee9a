package amqp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"reflect"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// said is a connection on which a broker says something, in pieces of at most step bytes,
// and notes what is written.
type said struct {
	net.Conn
	from    io.Reader
	step    int
	written bytes.Buffer
	writes  int
}

// Read is that of the reader.
func (s *said) Read(b []byte) (int, error) { return s.from.Read(b[:min(len(b), s.step)]) }

// Write keeps b.
func (s *said) Write(b []byte) (int, error) {
	s.writes++
	return s.written.Write(b)
}

// method is the frame of a method with its arguments.
func method(channel uint16, id uint32, args ...byte) []byte {
	buf := binary.BigEndian.AppendUint32(beginFrame(nil, methodFrame, channel), id)
	return endFrame(append(buf, args...), 0)
}

// ack is the frame of basic.ack or basic.nack.
func ack(channel uint16, id uint32, tag uint64, multiple byte) []byte {
	return method(channel, id, append(binary.BigEndian.AppendUint64(nil, tag), multiple)...)
}

// contentOf is the frames of a message behind its method, with a body of two frames.
func contentOf(t testing.TB, channel uint16, m amqp091.Publishing) []byte {
	frames, err := appendPublish(nil, channel, "", &m)
	if err != nil {
		t.Fatal(err)
	}
	frames = frames[len(method(channel, basicPublish, 0, 0, 0, 0, 0)):]
	for _, part := range [][]byte{m.Body[:len(m.Body)/2], m.Body[len(m.Body)/2:]} {
		if start := len(frames); len(part) > 0 {
			frames = endFrame(append(beginFrame(frames, bodyFrame, channel), part...), start)
		}
	}
	return frames
}

// everyType is a message with all properties and a header of each type.
var everyType = amqp091.Publishing{
	ContentType: "a/b", ContentEncoding: "c", DeliveryMode: 2, Priority: 3, CorrelationId: "d", ReplyTo: "e", Expiration: "60000",
	MessageId: "f", Timestamp: time.Unix(1700000000, 0), Type: "g", UserId: "h", AppId: "i", Body: []byte("0123456789"),
	Headers: amqp091.Table{
		"nil": nil, "string": "s", "bytes": []byte{1, 2}, "true": true, "false": false, "time": time.Unix(5, 0),
		"decimal": amqp091.Decimal{Scale: 2, Value: -314}, "table": amqp091.Table{"in": amqp091.Table{hAt: int64(1)}},
		"array": []any{int32(-1), "x", []any{}, amqp091.Table{}}, "int64": int64(-1 << 62), "int32": int32(-5), "uint32": uint32(1 << 31),
		"int16": int16(-6), "uint16": uint16(1 << 15), "int8": int8(-7), "byte": byte(200), "float64": 1.5, "float32": float32(2.5),
	},
}

// TestTap: what the tap takes arrives, whole and in order, however it comes, and all else
// gets through to the library.
func TestTap(t *testing.T) {
	other := method(1, 10<<16|10, 1, 2, 3)
	stranger := append(method(3, basicDeliver, 1, 'x', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0), contentOf(t, 3, everyType)...)
	returned := append(method(2, basicReturn, 1, 56, 2, 'n', 'o', 0, 1, 'q'), contentOf(t, 2, amqp091.Publishing{MessageId: "two"})...)
	delivery := append(method(3, basicDeliver, append([]byte{7}, "batch-1\x00\x00\x00\x00\x00\x00\x00\x09\x01\x00\x00"...)...), contentOf(t, 3, everyType)...)
	all := bytes.Join([][]byte{
		other, ack(2, basicAck, 1, 0), delivery, stranger, returned, ack(2, basicAck, 2, 0), ack(2, basicNack, 3, 0), ack(2, basicAck, 5, 1),
		ack(9, basicAck, 1, 0), ack(2, basicAck, 99, 1), delivery,
	}, nil)
	want := bytes.Join([][]byte{other, stranger, ack(9, basicAck, 1, 0)}, nil)
	for _, step := range []int{1, 7, 8, 100, 1 << 16} {
		p := newTap(&said{from: bytes.NewReader(all), step: step})
		p.passed = time.Since(epoch) + time.Hour // no sign of life
		l := newLedger()
		p.ledgers[2] = l
		var got []amqp091.Delivery
		p.subscribe(func(d *amqp091.Delivery) { got = append(got, *d) })
		var items []*publication
		for _, id := range []string{"one", "two", "three", "four", "five", "six"} {
			items = append(items, &publication{queue: "q", message: amqp091.Publishing{MessageId: id}})
		}
		batch := newBatch(items, false)
		for _, item := range items {
			item.batch = batch
			item.state.Store(pubWritten)
			l.add(item)
		}
		through, err := io.ReadAll(p)
		if err != nil || !bytes.Equal(through, want) {
			t.Fatalf("by %d bytes: %d bytes instead of %d get through, %v", step, len(through), len(want), err)
		}
		for i, state := range []int32{pubAcked, pubReturned, pubNacked, pubAcked, pubAcked, pubWritten} {
			if s := items[i].state.Load(); s != state {
				t.Errorf("by %d bytes: item %d is in state %d instead of %d", step, i, s, state)
			}
		}
		if len(got) != 2 {
			t.Fatalf("by %d bytes: %d deliveries", step, len(got))
		}
		for _, d := range got {
			back := amqp091.Publishing{
				ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: d.DeliveryMode, Priority: d.Priority,
				CorrelationId: d.CorrelationId, ReplyTo: d.ReplyTo, Expiration: d.Expiration, MessageId: d.MessageId,
				Timestamp: d.Timestamp, Type: d.Type, UserId: d.UserId, AppId: d.AppId, Body: d.Body, Headers: d.Headers,
			}
			if d.DeliveryTag != 9 || !d.Redelivered || len(back.Headers["array"].([]any)) != 4 {
				t.Errorf("by %d bytes: %+v", step, d)
			}
			back.Headers = maps.Clone(back.Headers)
			back.Headers["array"] = everyType.Headers["array"] // an empty one in it is nil
			if !reflect.DeepEqual(back, everyType) {
				t.Errorf("by %d bytes: %+v instead of %+v", step, back, everyType)
			}
		}
	}
}

// TestTapReadsOn: a delivery whose properties cannot be read arrives with its body, and is no job;
// what comes behind it is read. It would come again on the next connection.
func TestTapReadsOn(t *testing.T) {
	one := append(method(3, basicDeliver, append([]byte{7}, "batch-1\x00\x00\x00\x00\x00\x00\x00\x09\x01\x00\x00"...)...), contentOf(t, 3, everyType)...)
	for what, damage := range map[string][2]string{
		"a type that is unknown":  {"\x03int64"[1:] + "l", "int64?"},
		"a table beyond its end":  {"\x05tableF\x00\x00", "\x05tableF\x01\x00"},
		"a name beyond the frame": {"\x01g", "\xffg"},
	} {
		damaged := bytes.Replace(one, []byte(damage[0]), []byte(damage[1]), 1)
		if bytes.Equal(one, damaged) {
			t.Fatalf("%s: nothing is damaged", what)
		}
		p := newTap(&said{from: bytes.NewReader(append(damaged, one...)), step: 1 << 16})
		p.passed = time.Since(epoch) + time.Hour // no sign of life
		var got []job
		p.subscribe(func(d *amqp091.Delivery) { got = append(got, decode(d)) })
		through, err := io.ReadAll(p)
		if err != nil || len(through) > 0 || len(got) != 2 {
			t.Errorf("%s: %d deliveries, %d bytes get through, %v", what, len(got), len(through), err)
			continue
		}
		if got[0].bad == "" || got[1].bad != "" || !bytes.Equal(got[0].Body, got[1].Body) {
			t.Errorf("%s: %+v", what, got)
		}
	}
}

// TestTapShowsSignsOfLife: the library ends a connection on which it reads nothing for three
// heartbeats, and must not as long as the broker sends what the tap takes.
func TestTapShowsSignsOfLife(t *testing.T) {
	p := newTap(&said{from: bytes.NewReader(bytes.Repeat(ack(2, basicAck, 1, 0), 1000)), step: 1 << 16})
	p.ledgers[2] = newLedger()
	p.passed = time.Since(epoch) - time.Hour
	through, err := io.ReadAll(p)
	if err != nil || !bytes.Equal(through, heartbeat) {
		t.Errorf("% x gets through, %v", through, err)
	}
}

// TestTapKeepsOffEndedChannels: the broker ends a connection on which something comes for a
// channel that has ended.
func TestTapKeepsOffEndedChannels(t *testing.T) {
	for _, end := range []uint32{channelClose, channelCloseOk} {
		on := &said{}
		p, l := newTap(on), newLedger()
		p.selecting = l
		_, _ = p.Write(method(4, confirmSelect, 0))
		if err := p.publish(4, l, []byte("a")); err != nil {
			t.Fatal(err)
		}
		_, _ = p.Write(method(4, end))
		p.selecting = newLedger()
		_, _ = p.Write(method(4, channelOpen, 0)) // another with its number
		_, _ = p.Write(method(4, confirmSelect, 0))
		before := on.written.Len()
		if err := p.publish(4, l, []byte("a")); !errors.Is(err, amqp091.ErrClosed) || on.written.Len() != before {
			t.Errorf("%v, and %d bytes are written", err, on.written.Len()-before)
		}
	}
}

// TestWritesOfABatch: what a call publishes is one write, unless it is much, and what is one
// message always is. No frame is larger than was agreed on.
func TestWritesOfABatch(t *testing.T) {
	const frame = 4096
	for name, test := range map[string]struct{ count, size, writes int }{
		"one": {1, 256, 1}, "many": {100, 256, 1}, "large": {1, 1 << 20, 1}, "without a body": {2, 0, 1}, "much": {4, 40 << 10, 2},
	} {
		t.Run(name, func(t *testing.T) {
			on := &said{}
			p := &publisher{
				conn: &connection{tap: newTap(on), client: new(amqp091.Connection)}, channel: 3, ledger: newLedger(), ended: make(chan struct{}),
			}
			p.conn.client.Config.FrameSize = frame
			p.conn.tap.ledgers[3] = p.ledger
			var items []*publication
			for range test.count {
				items = append(items, &publication{queue: "q", message: amqp091.Publishing{Type: "t", Body: make([]byte, test.size)}})
			}
			p.write(newBatch(items, false))
			if on.writes != test.writes {
				t.Errorf("%d writes instead of %d", on.writes, test.writes)
			}
			bodies, messages := 0, 0
			for c := (cursor{buf: on.written.Bytes()}); len(c.buf) > 0; {
				kind, channel, payload := c.number(1), c.number(2), c.long()
				if end := c.number(1); c.bad || end != frameEnd || channel != 3 || len(payload) > frame-frameOverhead {
					t.Fatalf("a frame of type %d on channel %d with %d bytes and the end %x", kind, channel, len(payload), end)
				}
				switch kind {
				case methodFrame:
					messages++
				case bodyFrame:
					bodies += len(payload)
				}
			}
			if messages != test.count || bodies != test.count*test.size || p.ledger.unanswered() != on.written.Len()-framesAround(test.count, test.size, frame) {
				t.Errorf("%d messages with %d bytes, %d of %d bytes unanswered", messages, bodies, p.ledger.unanswered(), on.written.Len())
			}
		})
	}
}

// TestLoneCallerDoesNotWait: a caller writes its own only where nobody else writes on the
// connection, and no large message may fill what the system has room for.
func TestLoneCallerDoesNotWait(t *testing.T) {
	on := &said{}
	conn := &connection{tap: newTap(on), client: new(amqp091.Connection), flowing: make(chan struct{})}
	close(conn.flowing)
	p := &publisher{conn: conn, channel: 3, ledger: newLedger(), ended: make(chan struct{})}
	conn.tap.ledgers[3] = p.ledger
	now := func() bool {
		item := &publication{queue: "q", message: amqp091.Publishing{Type: "t", Body: []byte("{}")}}
		return p.writeNow(newBatch([]*publication{item}, false))
	}
	conn.tap.writing.Lock()
	if now() {
		t.Error("it is written beside another write")
	}
	conn.tap.writing.Unlock()
	conn.trials.Add(1)
	if now() {
		t.Error("it is written behind a large message")
	}
	conn.trials.Add(-1)
	if !now() || on.writes != 1 {
		t.Errorf("%d writes where nobody else writes, want one by the caller", on.writes)
	}
}

// framesAround is how many bytes the frames of bodies have around them, which the ledger does
// not count.
func framesAround(count, size, frame int) int {
	most := frame - frameOverhead
	return count * ((size + most - 1) / most) * frameOverhead
}

// TestLedgerInAnyOrder answers messages in any order, and one by one or many at once: each
// is answered once, and nothing is kept.
func TestLedgerInAnyOrder(t *testing.T) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	const count = 300
	l := newLedger()
	items := make([]*publication, count)
	batch := newBatch(items, false)
	tags := random.Perm(count)
	for i := range items {
		items[i] = &publication{batch: batch, size: 3}
		items[i].state.Store(pubWritten)
		l.add(items[i])
		if n := random.IntN(4); n == 0 {
			k := random.IntN(i + 1)
			l.answer(uint64(k)+1, random.IntN(8) == 0, true)
		}
	}
	for _, k := range tags {
		l.answer(uint64(k)+1, false, true)
	}
	select {
	case <-batch.answered:
	default:
		t.Error("the batch was not told")
	}
	if l.awaits(batch) || l.unanswered() != 0 || len(l.open) != 0 || l.answered != 0 || l.next != count+1 {
		t.Errorf("left %d of the batch, %d bytes, %d entries, and the next tag is %d", batch.left, l.bytes, len(l.open), l.next)
	}
	for i, item := range items {
		if item.state.Load() != pubAcked {
			t.Errorf("item %d is in state %d", i, item.state.Load())
		}
	}
}

// TestNeverRoomForWhatIsSaid: a frame that is said to be larger than any ends the connection. The
// library would make room for all of it before it reads.
func TestNeverRoomForWhatIsSaid(t *testing.T) {
	for _, kind := range []byte{methodFrame, headerFrame, bodyFrame, heartbeat[0]} {
		p := newTap(&said{from: bytes.NewReader([]byte{kind, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3}), step: 100})
		if through, err := io.ReadAll(p); err != errNoFrame || len(through) > 0 {
			t.Errorf("type %d: %d bytes get through, %v", kind, len(through), err)
		}
	}
}

// TestDeepTables: a message of another program with tables and arrays in each other, however deep,
// arrives. What is in them beyond the bound is nil.
func TestDeepTables(t *testing.T) {
	for name, wrap := range map[string]func(any) any{
		"tables": func(v any) any { return amqp091.Table{"in": v} },
		"arrays": func(v any) any { return []any{v} },
	} {
		for _, deep := range []int{maxDepth, maxDepth + 1, 10_000} {
			value := any("all")
			for range deep {
				value = wrap(value)
			}
			m := amqp091.Publishing{MessageId: "id", Type: "kind", Headers: amqp091.Table{"x": value, "y": "z"}, Body: []byte("body")}
			delivery := append(method(3, basicDeliver, append([]byte{7}, "batch-1\x00\x00\x00\x00\x00\x00\x00\x09\x01\x00\x00"...)...), contentOf(t, 3, m)...)
			p := newTap(&said{from: bytes.NewReader(delivery), step: 1 << 16})
			p.passed = time.Since(epoch) + time.Hour // no sign of life
			var got []amqp091.Delivery
			p.subscribe(func(d *amqp091.Delivery) { got = append(got, *d) })
			if through, err := io.ReadAll(p); err != nil || len(through) > 0 || len(got) != 1 {
				t.Fatalf("%d %s: %d deliveries, %d bytes get through, %v", deep, name, len(got), len(through), err)
			}
			depth := 0
			for v := got[0].Headers["x"]; v != nil && v != "all"; depth++ {
				if in, ok := v.(amqp091.Table); ok {
					v = in["in"]
				} else {
					v = v.([]any)[0]
				}
			}
			if depth != maxDepth || got[0].Headers["y"] != "z" || got[0].MessageId != "id" || string(got[0].Body) != "body" {
				t.Errorf("%d %s: %d are read, and of the rest %+v", deep, name, depth, got[0])
			}
		}
	}
}

// TestLedgerWithGaps: what a broker's queue that has no majority does not answer keeps nothing of what
// is answered later, and is answered in the end.
func TestLedgerWithGaps(t *testing.T) {
	l := newLedger()
	open := func() *publication {
		item := &publication{batch: newBatch(nil, false), size: 3}
		item.state.Store(pubWritten)
		l.add(item)
		return item
	}
	var stuck []*publication
	for i := range 100_000 {
		item := open()
		if i%20_000 == 0 {
			stuck = append(stuck, item)
			continue
		}
		if l.answer(item.tag, false, true); item.state.Load() != pubAcked {
			t.Fatalf("item %d is in state %d", i, item.state.Load())
		}
		if len(l.open) > 3*fewOpen {
			t.Fatalf("%d are kept, and %d are not answered", len(l.open), len(stuck))
		}
	}
	l.answer(stuck[1].tag+1, false, false) // of one that is answered
	if l.unanswered() != 3*len(stuck) {
		t.Errorf("%d bytes are not answered", l.unanswered())
	}
	l.answer(stuck[2].tag+1, true, false)
	l.answer(0, true, true)
	for i, item := range stuck {
		want := pubAcked
		if i <= 2 {
			want = pubNacked
		}
		if s := item.state.Load(); s != want {
			t.Errorf("item %d that was stuck is in state %d, want %d", i, s, want)
		}
	}
	if last := open(); last.tag != 100_001 || len(l.open) != 1 {
		t.Errorf("the next has the tag %d, and there are %d", last.tag, len(l.open))
	}
}

// FuzzTap reads anything as the frames of a broker: the tap neither fails nor keeps what is
// for the library, in the frames of which all is whole.
func FuzzTap(f *testing.F) {
	f.Add(append(method(3, basicDeliver, append([]byte{7}, "batch-1\x00\x00\x00\x00\x00\x00\x00\x09\x01\x00\x00"...)...), contentOf(f, 3, everyType)...), 5)
	f.Add(append(ack(2, basicAck, 1, 1), method(2, basicReturn, 1, 56, 2, 'n', 'o', 0, 1, 'q')...), 1)
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), 100)
	f.Fuzz(func(t *testing.T, said_ []byte, step int) {
		p := newTap(&said{from: bytes.NewReader(said_), step: min(max(step, 1), 1<<16)})
		p.ledgers[2] = newLedger()
		p.subscribe(func(d *amqp091.Delivery) { _ = decode(d) })
		through, err := io.ReadAll(p)
		if err != nil && err != errNoFrame {
			t.Error(err)
		}
		if len(through) > len(said_)+len(heartbeat) {
			t.Errorf("%d of %d bytes get through", len(through), len(said_))
		}
	})
}
