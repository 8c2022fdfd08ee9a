package amqp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// tap is a connection on which the driver itself writes and reads what there is much of:
// the messages that it publishes, their confirms, and the deliveries of its
// subscriptions. All else goes through to the client library, which would make some 35
// allocations for a message in each direction, and write each by itself.
//
// What the library writes are whole frames, as it publishes nothing here: it flushes
// after each frame, and those of methods are smaller than its buffer.
type tap struct {
	net.Conn

	// What follows is Read's own.

	// in[next:end] was read and is neither taken nor passed on; pass bytes of it are to be
	// passed on. passed is when that happened last, as a time since epoch.
	in        []byte
	next, end int
	pass      int
	passed    time.Duration
	// coming are the messages of which a part has come, or that have, by their channels.
	coming map[uint16]*incoming

	writing    sync.Mutex // held while writing, so that a channel's end has a place in what is sent
	confirming sync.Mutex // held by confirm

	mu sync.Mutex // guards following
	// selecting is the ledger for the channel that the library puts into confirm mode next,
	// and selected the channel that it did so with last.
	selecting *ledger
	selected  uint16
	// ledgers are those of the channels that publish, and subscribers by their consumer tags,
	// of which serial is how many there were.
	ledgers     map[uint16]*ledger
	subscribers map[string]func(*amqp091.Delivery)
	serial      int
	// ended are the channels that were closed, by either side, and not opened anew.
	ended map[uint16]bool
}

// newTap makes a tap that passes everything on so far.
func newTap(conn net.Conn) *tap {
	return &tap{
		Conn: conn, in: make([]byte, tapSize), coming: make(map[uint16]*incoming),
		ledgers: make(map[uint16]*ledger), subscribers: make(map[string]func(*amqp091.Delivery)),
		ended: make(map[uint16]bool),
	}
}

const (
	// tapSize is how much is read at once. It grows for a frame that is larger.
	tapSize = 32 << 10
	// lifeSign is how often the library gets to see that the broker sends something, as it
	// ends a connection on which it reads nothing for three heartbeats.
	lifeSign = 100 * time.Millisecond
)

// heartbeat is a frame that says nothing else.
var heartbeat = []byte{8, 0, 0, 0, 0, 0, 0, frameEnd}

// errNoFrame is why a connection ends on which the broker sent what cannot be read.
var errNoFrame = errors.New("the broker sent bytes that are no AMQP 0-9-1")

// confirm puts a channel into confirm mode. The ledger gets the answers from then on.
// It returns the channel's number, which the library does not tell, but writes.
func (t *tap) confirm(ch *amqp091.Channel, l *ledger) (channel uint16, err error) {
	t.confirming.Lock()
	defer t.confirming.Unlock()
	t.mu.Lock()
	t.selecting = l
	t.mu.Unlock()
	err = ch.Confirm(false)
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.selected, err
}

// subscribe makes a consumer tag. Deliveries with it go to take, which must not block and
// not keep what it is passed.
func (t *tap) subscribe(take func(*amqp091.Delivery)) (tag string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.serial++
	tag = fmt.Sprintf("batch-%d", t.serial)
	t.subscribers[tag] = take
	return tag
}

// unsubscribe undoes subscribe, when no more deliveries come.
func (t *tap) unsubscribe(tag string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.subscribers, tag)
}

// ledgerOf is the ledger of a channel, or nil.
func (t *tap) ledgerOf(channel uint16) *ledger {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ledgers[channel]
}

// publish writes frames on a channel whose ledger l is. It is amqp091.ErrClosed, and
// nothing was written, once the channel has ended: the broker would end the connection.
func (t *tap) publish(channel uint16, l *ledger, frames []byte) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	return t.publishHeld(channel, l, frames)
}

// publishHeld is publish for one who holds writing.
func (t *tap) publishHeld(channel uint16, l *ledger, frames []byte) error {
	if t.ledgerOf(channel) != l {
		return amqp091.ErrClosed
	}
	_, err := t.Conn.Write(frames)
	return err
}

// Write writes what the library has to say, but for what comes behind the end of a channel.
func (t *tap) Write(b []byte) (int, error) {
	t.writing.Lock()
	defer t.writing.Unlock()
	if len(b) > frameHead+4 && b[0] == methodFrame && !t.note(binary.BigEndian.Uint16(b[1:]), binary.BigEndian.Uint32(b[frameHead:])) {
		return len(b), nil
	}
	return t.Conn.Write(b)
}

// note notes what a method of the library does to its channel. It is false if the channel has
// ended: the broker would end the connection, with all consumers on it, for anything but the answer
// to its own end of the channel. The library looks whether a channel is open before it sends a
// request, and not in the same step. The caller that waits for the answer is told when the library
// has read of the end, or answered it.
func (t *tap) note(channel uint16, method uint32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended[channel] && method != channelOpen && method != channelCloseOk {
		return false
	}
	switch method {
	case channelOpen:
		delete(t.ended, channel)
	case confirmSelect:
		t.selected, t.ledgers[channel] = channel, t.selecting
	case channelClose, channelCloseOk:
		t.ended[channel] = true
		delete(t.ledgers, channel)
	}
	return true
}

// Read reads what is for the library.
func (t *tap) Read(b []byte) (int, error) {
	for t.pass == 0 {
		took, err := t.step()
		if err != nil {
			return 0, err
		}
		if now := time.Since(epoch); took && now-t.passed > lifeSign && len(b) >= len(heartbeat) {
			t.passed = now
			return copy(b, heartbeat), nil
		}
	}
	n := copy(b, t.in[t.next:t.next+t.pass])
	t.next += n
	if t.pass -= n; t.pass == 0 {
		t.passed = time.Since(epoch)
	}
	return n, nil
}

// step looks at the next frame, or reads more if that has not come. It tells whether it
// took the frame.
func (t *tap) step() (took bool, err error) {
	have := t.in[t.next:t.end]
	if len(have) < frameHead {
		return false, t.fill(frameHead)
	}
	if !isFrame(have[0]) {
		t.pass = len(have) // the library knows what to say to that
		return false, nil
	}
	size := binary.BigEndian.Uint32(have[3:])
	if size > maxFrame {
		return false, errNoFrame // the library would make room for all of it first
	}
	whole := frameHead + int(size) + 1
	if len(have) < whole {
		return false, t.fill(whole)
	}
	channel, payload := binary.BigEndian.Uint16(have[1:]), have[frameHead:whole-1]
	if have[whole-1] != frameEnd {
		return false, errNoFrame
	}
	if took, err = t.take(have[0], channel, payload); err != nil {
		return false, err
	}
	if took {
		t.next += whole
	} else {
		t.pass = whole
	}
	return took, nil
}

// maxFrame bounds the size of a frame. Brokers are configured for less.
const maxFrame = 1 << 30

// isFrame tells whether it is a type of frames, that of heartbeats included.
func isFrame(kind byte) bool { return kind >= methodFrame && kind <= bodyFrame || kind == heartbeat[0] }

// fill reads more for a frame of want bytes. The buffer grows with what comes, and not
// with what a frame says that it has.
func (t *tap) fill(want int) error {
	if t.next > 0 {
		t.end = copy(t.in, t.in[t.next:t.end])
		t.next = 0
		if want <= tapSize && len(t.in) > 8*tapSize {
			t.in = append(make([]byte, 0, tapSize), t.in[:t.end]...)[:tapSize]
		}
	}
	if t.end == len(t.in) {
		t.in = append(t.in, make([]byte, len(t.in))...)
	}
	n, err := t.Conn.Read(t.in[t.end:])
	t.end += n
	if n > 0 {
		return nil
	}
	return err
}

// take takes a frame, unless it is for the library.
func (t *tap) take(kind byte, channel uint16, payload []byte) (bool, error) {
	if kind == methodFrame {
		return t.takeMethod(channel, payload)
	}
	m := t.coming[channel]
	if m == nil || !m.active || kind != headerFrame && kind != bodyFrame {
		return false, nil
	}
	switch {
	case kind == bodyFrame:
		m.body(payload)
	case !m.header(payload):
		return false, errNoFrame
	}
	if m.whole() {
		m.end()
	}
	return true, nil
}

// takeMethod is take for the method of a frame.
func (t *tap) takeMethod(channel uint16, payload []byte) (bool, error) {
	if m := t.coming[channel]; m != nil {
		m.active = false // what was to come of it does not
	}
	c := cursor{buf: payload}
	method := c.number(4)
	switch method {
	case basicDeliver:
		return t.deliver(channel, &c)
	case basicAck, basicNack, basicReturn:
	default:
		return t.isLate(channel, method), nil
	}
	l := t.ledgerOf(channel)
	if l == nil {
		return t.isLate(channel, method), nil
	}
	if method == basicReturn {
		c.number(2) // the code of the reason
		c.short()   // and the reason
		c.short()   // the exchange
		m := t.begin(channel)
		m.ledger, m.queue = l, string(c.short())
	} else {
		tag := c.number(8)
		multiple := c.number(1)&1 != 0
		if !c.bad {
			l.answer(tag, multiple, method == basicAck)
		}
	}
	if c.bad {
		return false, errNoFrame
	}
	return true, nil
}

// isLate tells whether a method is for a channel that has ended, and not about that. RabbitMQ sends
// such as were on their way when it ended the channel. The library would end the connection.
func (t *tap) isLate(channel uint16, method uint64) bool {
	if method == channelClose || method == channelCloseOk {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ended[channel]
}

// deliver takes the method of a delivery, if that has a subscriber here.
func (t *tap) deliver(channel uint16, c *cursor) (bool, error) {
	consumer := c.short()
	t.mu.Lock()
	take := t.subscribers[string(consumer)]
	t.mu.Unlock()
	if take == nil {
		return t.isLate(channel, basicDeliver), nil
	}
	m := t.begin(channel)
	m.subscriber = take
	m.delivery.DeliveryTag = c.number(8)
	m.delivery.Redelivered = c.number(1)&1 != 0
	if c.bad {
		return false, errNoFrame
	}
	return true, nil
}

// begin begins a message on a channel.
func (t *tap) begin(channel uint16) *incoming {
	m := t.coming[channel]
	if m == nil {
		m = new(incoming)
		t.coming[channel] = m
	}
	m.begin()
	return m
}
