package amqp

import (
	"encoding/binary"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// A message is a frame with the method, one with the properties and those with the
// body: https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf 4.2.6 and 2.3.5.2.

// The types of frames, and what every frame ends with.
const (
	methodFrame = 1
	headerFrame = 2
	bodyFrame   = 3
	frameEnd    = 0xCE
)

// The classes with their methods that the driver reads and writes itself.
const (
	channelOpen    = 20<<16 | 10
	channelClose   = 20<<16 | 40
	channelCloseOk = 20<<16 | 41
	basicPublish   = 60<<16 | 40
	basicReturn    = 60<<16 | 50
	basicDeliver   = 60<<16 | 60
	basicAck       = 60<<16 | 80
	basicNack      = 60<<16 | 120
	confirmSelect  = 85<<16 | 10
	basicClass     = 60
)

// The properties, by their bits, in the order in which they stand.
const (
	hasContentType     = 1 << 15
	hasContentEncoding = 1 << 14
	hasHeaders         = 1 << 13
	hasDeliveryMode    = 1 << 12
	hasPriority        = 1 << 11
	hasCorrelationID   = 1 << 10
	hasReplyTo         = 1 << 9
	hasExpiration      = 1 << 8
	hasMessageID       = 1 << 7
	hasTimestamp       = 1 << 6
	hasType            = 1 << 5
	hasUserID          = 1 << 4
	hasAppID           = 1 << 3
)

// beginFrame appends the head of a frame, whose length endFrame fills in.
func beginFrame(buf []byte, kind byte, channel uint16) []byte {
	return append(binary.BigEndian.AppendUint16(append(buf, kind), channel), 0, 0, 0, 0)
}

// endFrame ends the frame that begins at start.
func endFrame(buf []byte, start int) []byte {
	putLength(buf, start+3)
	return append(buf, frameEnd)
}

// appendPublish appends the frames of a message for a queue but those of its body. It is
// mandatory: the broker returns it if the queue does not exist.
func appendPublish(buf []byte, channel uint16, queue string, m *amqp091.Publishing) (_ []byte, err error) {
	const mandatory = 1
	start := len(buf)
	buf = beginFrame(buf, methodFrame, channel)
	buf = binary.BigEndian.AppendUint32(buf, basicPublish)
	buf = append(buf, 0, 0, 0) // reserved, and the default exchange
	if buf, err = appendShort(buf, queue); err != nil {
		return buf, err
	}
	buf = endFrame(append(buf, mandatory), start)

	start = len(buf)
	buf = beginFrame(buf, headerFrame, channel)
	buf = append(buf, 0, basicClass, 0, 0) // and the weight, which is not used
	buf = binary.BigEndian.AppendUint64(buf, uint64(len(m.Body)))
	if buf, err = appendProperties(buf, m); err != nil {
		return buf, err
	}
	return endFrame(buf, start), nil
}

// appendProperties appends the properties that are set.
func appendProperties(buf []byte, m *amqp091.Publishing) (_ []byte, err error) {
	at, bits := len(buf), uint16(0)
	buf = append(buf, 0, 0)
	text := func(bit uint16, value string) {
		if value != "" && err == nil {
			bits |= bit
			buf, err = appendShort(buf, value)
		}
	}
	text(hasContentType, m.ContentType)
	text(hasContentEncoding, m.ContentEncoding)
	if len(m.Headers) > 0 && err == nil {
		bits |= hasHeaders
		buf, err = appendTable(buf, m.Headers)
	}
	if m.DeliveryMode > 0 {
		bits |= hasDeliveryMode
		buf = append(buf, m.DeliveryMode)
	}
	if m.Priority > 0 {
		bits |= hasPriority
		buf = append(buf, m.Priority)
	}
	text(hasCorrelationID, m.CorrelationId)
	text(hasReplyTo, m.ReplyTo)
	text(hasExpiration, m.Expiration)
	text(hasMessageID, m.MessageId)
	if !m.Timestamp.IsZero() {
		bits |= hasTimestamp
		buf = binary.BigEndian.AppendUint64(buf, uint64(m.Timestamp.Unix()))
	}
	text(hasType, m.Type)
	text(hasUserID, m.UserId)
	text(hasAppID, m.AppId)
	binary.BigEndian.PutUint16(buf[at:], bits)
	return buf, err
}

// incoming is a message of the broker, while its frames come. One after the other uses
// it, those of one channel.
type incoming struct {
	active bool // it has begun and not ended
	// subscriber is who gets a delivery, and ledger who learns of a returned message. One of
	// them is nil.
	subscriber func(*amqp091.Delivery)
	ledger     *ledger
	queue      string // the routing key of a returned message
	delivery   amqp091.Delivery
	size       uint64 // of the body; what has come of it is in the delivery
	headed     bool   // the properties have come
}

// begin makes it ready for the next message. What most messages of a channel have in
// common stays.
func (m *incoming) begin() {
	m.delivery = amqp091.Delivery{Type: m.delivery.Type, ContentType: m.delivery.ContentType}
	*m = incoming{active: true, delivery: m.delivery}
}

// end passes the message on.
func (m *incoming) end() {
	if m.ledger != nil {
		m.ledger.comeBack(returnKey{m.queue, m.delivery.MessageId})
	} else {
		m.subscriber(&m.delivery)
	}
	m.begin() // keeps nothing of it
	m.active = false
}

// header reads the frame of the properties, and tells whether it could. A delivery whose
// properties cannot be read has none, and is no job: if the connection ended for it, the broker
// would hand it out again on the next one, and on each after that.
func (m *incoming) header(payload []byte) bool {
	c := cursor{buf: payload}
	c.number(4) // class and weight
	m.size = c.number(8)
	if m.headed = !c.bad; !m.headed {
		return false
	}
	c.properties(&m.delivery)
	if c.bad {
		m.delivery = amqp091.Delivery{DeliveryTag: m.delivery.DeliveryTag, Redelivered: m.delivery.Redelivered}
	}
	return !c.bad || m.ledger == nil
}

// maxAhead is how much is allocated for a body before it has come.
const maxAhead = 1 << 20

// body takes a frame of the body.
func (m *incoming) body(payload []byte) {
	if m.delivery.Body == nil {
		m.delivery.Body = make([]byte, 0, min(m.size, maxAhead))
	}
	m.delivery.Body = append(m.delivery.Body, payload...)
}

// whole tells whether all of it has come.
func (m *incoming) whole() bool { return m.headed && uint64(len(m.delivery.Body)) >= m.size }

// properties reads the properties of a message into d, which has the type and content type of
// another.
func (c *cursor) properties(d *amqp091.Delivery) {
	bits := uint16(c.number(2))
	read := func(bit uint16, before string) string {
		if bits&bit == 0 {
			return ""
		}
		if b := c.short(); string(b) != before {
			return string(b)
		}
		return before
	}
	text := func(bit uint16) string { return read(bit, "") }
	d.ContentType = read(hasContentType, d.ContentType)
	d.ContentEncoding = text(hasContentEncoding)
	if bits&hasHeaders != 0 {
		d.Headers = c.table(0)
	}
	if bits&hasDeliveryMode != 0 {
		d.DeliveryMode = byte(c.number(1))
	}
	if bits&hasPriority != 0 {
		d.Priority = byte(c.number(1))
	}
	d.CorrelationId, d.ReplyTo, d.Expiration, d.MessageId = text(hasCorrelationID), text(hasReplyTo), text(hasExpiration), text(hasMessageID)
	if bits&hasTimestamp != 0 {
		d.Timestamp = time.Unix(int64(c.number(8)), 0)
	}
	d.Type = read(hasType, d.Type)
	d.UserId, d.AppId = text(hasUserID), text(hasAppID)
}
