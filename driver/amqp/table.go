package amqp

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// The tables of AMQP 0-9-1 as RabbitMQ sends and takes them:
// https://www.rabbitmq.com/docs/amqp-0-9-1-errata. The client library's own code for
// them makes an allocation of every number.

// appendShort appends a string of at most 255 bytes, with its length.
func appendShort(buf []byte, s string) ([]byte, error) {
	if len(s) > math.MaxUint8 {
		return buf, fmt.Errorf("a name or property has %d bytes, and 255 is AMQP's limit: %.32q", len(s), s)
	}
	return append(append(buf, byte(len(s))), s...), nil
}

// appendTable appends a table, with its length.
func appendTable(buf []byte, t amqp091.Table) (_ []byte, err error) {
	start := len(buf)
	buf = append(buf, 0, 0, 0, 0)
	for name, value := range t {
		if buf, err = appendShort(buf, name); err != nil {
			return buf, err
		}
		if buf, err = appendField(buf, value); err != nil {
			return buf, err
		}
	}
	putLength(buf, start)
	return buf, nil
}

// putLength writes at start how much comes behind it.
func putLength(buf []byte, start int) {
	binary.BigEndian.PutUint32(buf[start:], uint32(len(buf)-start-4))
}

// appendField appends a value with its type.
func appendField(buf []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case nil:
		return append(buf, 'V'), nil
	case string:
		return append(binary.BigEndian.AppendUint32(append(buf, 'S'), uint32(len(v))), v...), nil
	case []byte:
		return append(binary.BigEndian.AppendUint32(append(buf, 'x'), uint32(len(v))), v...), nil
	case bool:
		if v {
			return append(buf, 't', 1), nil
		}
		return append(buf, 't', 0), nil
	case time.Time:
		return binary.BigEndian.AppendUint64(append(buf, 'T'), uint64(v.Unix())), nil
	case amqp091.Decimal:
		return binary.BigEndian.AppendUint32(append(buf, 'D', v.Scale), uint32(v.Value)), nil
	case amqp091.Table:
		return appendTable(append(buf, 'F'), v)
	case []any:
		start := len(buf) + 1
		buf = append(buf, 'A', 0, 0, 0, 0)
		for _, element := range v {
			var err error
			if buf, err = appendField(buf, element); err != nil {
				return buf, err
			}
		}
		putLength(buf, start)
		return buf, nil
	}
	return appendNumber(buf, value)
}

// appendNumber is appendField for numbers.
func appendNumber(buf []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case int64:
		return binary.BigEndian.AppendUint64(append(buf, 'l'), uint64(v)), nil
	case int32:
		return binary.BigEndian.AppendUint32(append(buf, 'I'), uint32(v)), nil
	case uint32:
		return binary.BigEndian.AppendUint32(append(buf, 'i'), v), nil
	case int16:
		return binary.BigEndian.AppendUint16(append(buf, 's'), uint16(v)), nil
	case uint16:
		return binary.BigEndian.AppendUint16(append(buf, 'u'), v), nil
	case int8:
		return append(buf, 'b', byte(v)), nil
	case byte:
		return append(buf, 'B', v), nil
	case float64:
		return binary.BigEndian.AppendUint64(append(buf, 'd'), math.Float64bits(v)), nil
	case float32:
		return binary.BigEndian.AppendUint32(append(buf, 'f'), math.Float32bits(v)), nil
	}
	return buf, fmt.Errorf("a header of type %T is not one of AMQP's", value)
}

// cursor reads what the broker has sent. It never reads beyond it: what is missing is
// zero, and makes bad true.
type cursor struct {
	buf []byte
	bad bool
}

// take is the next n bytes, which belong to the buffer; nil if there are fewer.
func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.buf) {
		c.bad, c.buf = true, nil
		return nil
	}
	taken := c.buf[:n:n]
	c.buf = c.buf[n:]
	return taken
}

// number is the next number of n bytes, at most 8.
func (c *cursor) number(n int) (value uint64) {
	for _, b := range c.take(n) {
		value = value<<8 | uint64(b)
	}
	return value
}

// short is the next string with a length of one byte.
func (c *cursor) short() []byte { return c.take(int(c.number(1))) }

// long is the next string with a length of four bytes.
func (c *cursor) long() []byte { return c.take(int(c.number(4))) }

// maxDepth is how deep tables and arrays are read in each other. Deeper ones, which only another
// program would send, are left out, as reading them takes a stack that Go ends the process for.
const maxDepth = 1000

// within reads the next table or array, which is empty if it is too deep.
func (c *cursor) within(depth int) cursor {
	inside := c.long()
	if depth > maxDepth {
		inside = nil
	}
	return cursor{buf: inside}
}

// table is the next table, with the names that are in the table of known taken from there.
func (c *cursor) table(depth int) amqp091.Table {
	within := c.within(depth)
	t := make(amqp091.Table)
	for len(within.buf) > 0 && !within.bad {
		name := nameOf(within.short())
		t[name] = within.field(depth)
	}
	c.bad = c.bad || within.bad
	return t
}

// field is the next value, of the type that the client library reads it as.
func (c *cursor) field(depth int) any {
	switch kind := c.number(1); kind {
	case 'S':
		return string(c.long())
	case 'x':
		return append([]byte{}, c.long()...)
	case 'V':
		return nil
	case 't':
		return c.number(1) != 0
	case 'T':
		return time.Unix(int64(c.number(8)), 0)
	case 'D':
		return amqp091.Decimal{Scale: byte(c.number(1)), Value: int32(c.number(4))}
	case 'F':
		return c.table(depth + 1)
	case 'A':
		within := c.within(depth)
		var all []any
		for len(within.buf) > 0 && !within.bad {
			all = append(all, within.field(depth+1))
		}
		c.bad = c.bad || within.bad
		return all
	default:
		return c.numeric(byte(kind))
	}
}

// numeric is field for numbers.
func (c *cursor) numeric(kind byte) any {
	switch kind {
	case 'l':
		return int64(c.number(8))
	case 'I':
		return int32(c.number(4))
	case 'i':
		return uint32(c.number(4))
	case 's':
		return int16(c.number(2))
	case 'u':
		return uint16(c.number(2))
	case 'b':
		return int8(c.number(1))
	case 'B':
		return byte(c.number(1))
	case 'd':
		return math.Float64frombits(c.number(8))
	case 'f':
		return math.Float32frombits(uint32(c.number(4)))
	}
	c.bad = true
	return nil
}
