package nats

import (
	"strconv"
	"sync"

	natsgo "github.com/nats-io/nats.go"
)

// outbox gathers the messages of one call, which writes them itself: many leave in one write,
// and the client library has no part in that.
type outbox struct {
	link *link
	// direct says that the call writes. What the messages depend on, which is the subscription
	// for their answers, must have left before.
	direct  bool
	pending *[]byte // what is to be written; nil if there is nothing
	reply   []byte  // space for a subject
}

const (
	// outboxSize is from how many bytes on they are written.
	outboxSize = 64 << 10
	// outboxKept is up to how many bytes the space for them is used again.
	outboxKept = 4 * outboxSize
)

// outboxes is the space for what is to be written.
var outboxes = sync.Pool{New: func() any { return new([]byte) }}

// put adds a message. If reply is not empty, the answer comes to that with the number behind it.
// An error says that the message is not sent.
func (o *outbox) put(subject, reply string, number int, h header, data []byte) error {
	o.reply = o.reply[:0]
	if reply != "" {
		o.reply = strconv.AppendInt(append(o.reply, reply...), int64(number), 10)
	}
	if !o.direct {
		return o.link.publish(subject, string(o.reply), h, data)
	}
	if int64(len(h)+len(data)) > o.link.payload {
		return natsgo.ErrMaxPayload // the server would end the connection
	}
	if o.pending == nil {
		o.pending = outboxes.Get().(*[]byte)
	}
	*o.pending = appendMessage(*o.pending, subject, o.reply, h, data)
	if len(*o.pending) >= outboxSize {
		o.write()
	}
	return nil
}

// write writes what was put.
func (o *outbox) write() {
	if o.pending == nil {
		return
	}
	o.link.write(*o.pending)
	o.drop()
}

// drop forgets what was put and not written.
func (o *outbox) drop() {
	if o.pending == nil {
		return
	}
	if cap(*o.pending) <= outboxKept {
		*o.pending = (*o.pending)[:0]
		outboxes.Put(o.pending)
	}
	o.pending = nil
}

// appendMessage appends a message as it is on the wire. One without headers has another word.
func appendMessage(b []byte, subject string, reply []byte, h header, data []byte) []byte {
	if h == nil {
		b = append(b, "PUB "...)
	} else {
		b = append(b, "HPUB "...)
	}
	b = append(append(b, subject...), ' ')
	if len(reply) > 0 {
		b = append(append(b, reply...), ' ')
	}
	if h != nil {
		b = append(strconv.AppendInt(b, int64(len(h)), 10), ' ')
	}
	b = append(strconv.AppendInt(b, int64(len(h)+len(data)), 10), "\r\n"...)
	return append(append(append(b, h...), data...), "\r\n"...)
}
