package amqp

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

const (
	// frameOverhead is what a frame has around its payload.
	frameOverhead = 8
	// frameReserve is what is left free in the frame of a message's properties, for
	// what the broker adds on the way: where a message was removed, and how often it
	// was handed out. The library breaks the connection when it gets a larger frame
	// than was agreed on.
	frameReserve = 4 << 10
	// delayRoom is what a message needs more while it is delayed: batch-due and the like.
	delayRoom = 256
	// minFrame is the least frame that AMQP allows.
	minFrame = 4 << 10
)

// roomFor is how many bytes the properties of a message can have on a connection
// whose frames have at most frame bytes; 0 is no limit.
func roomFor(frame int) int {
	if frame <= 0 {
		return math.MaxInt32
	}
	frame = max(frame, minFrame)
	return frame - frameOverhead - min(frameReserve, frame/8)
}

// propertiesSize is how many bytes the properties of a message take in their frame,
// which has to be one: https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf 4.2.6.1.
func propertiesSize(m *amqp091.Publishing) int {
	const fixed = 2 + 2 + 8 + 2 // class, weight, size of the body, which properties there are
	n := fixed + 1 + 1 + 8      // delivery mode, priority, timestamp
	for _, s := range [...]string{
		m.ContentType, m.ContentEncoding, m.CorrelationId, m.ReplyTo, m.Expiration, m.MessageId, m.Type, m.UserId, m.AppId,
	} {
		n += 1 + len(s)
	}
	return n + tableSize(m.Headers)
}

// tableSize is how many bytes a table takes.
func tableSize(t amqp091.Table) int {
	n := 4
	for name, value := range t {
		n += 1 + len(name) + fieldSize(value)
	}
	return n
}

// fieldSize is how many bytes a value takes with its type, or a little more.
func fieldSize(value any) int {
	switch v := value.(type) {
	case string:
		return 5 + len(v)
	case []byte:
		return 5 + len(v)
	case amqp091.Table:
		return 1 + tableSize(v)
	case []any:
		n := 5
		for _, e := range v {
			n += fieldSize(e)
		}
		return n
	}
	return 1 + 8 // the widest of the others
}

// fit leaves out headers of a message until its properties fit into room, the
// largest first and none of batch's own but the text of an error, and says so in that
// text. It changes the table, which must be the caller's alone.
func fit(m *amqp091.Publishing, room int) {
	size := propertiesSize(m)
	if size <= room {
		return
	}
	r := reader{headers: m.Headers}
	before := r.text(hError)
	delete(m.Headers, hError)
	type header struct {
		name string
		size int
	}
	var all []header
	for name, value := range m.Headers {
		if !strings.HasPrefix(name, hPrefix) || strings.HasPrefix(name, hEscape) {
			all = append(all, header{name, 1 + len(name) + fieldSize(value)})
		}
	}
	slices.SortFunc(all, func(a, b header) int { return cmp.Or(cmp.Compare(b.size, a.size), cmp.Compare(a.name, b.name)) })
	// The text comes in again, with the note, at its longest.
	count, left, target := 0, 0, room-maxText-len(hError)-6
	size = propertiesSize(m)
	for _, h := range all {
		if size-left <= target {
			break
		}
		delete(m.Headers, h.name)
		count, left = count+1, left+h.size
	}
	note := fmt.Sprintf("%d headers with %d bytes were left out: they did not fit into a frame of the broker", count, left)
	if before != "" {
		note += "; " + before
	}
	m.Headers[hError] = clip(note)
}
