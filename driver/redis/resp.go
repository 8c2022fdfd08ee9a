package redis

import (
	"errors"
	"fmt"
	"strconv"
	"unsafe"
)

// serverError is an error reply. It is a redis.Error of the client library.
type serverError string

// Error is the server's text.
func (e serverError) Error() string { return string(e) }

// RedisError marks it as what go-redis calls a Redis error.
func (serverError) RedisError() {}

// errReply says that a reply is not what the command should answer.
var errReply = errors.New("the reply has an unexpected form")

// largeString is the length from which on a string of a reply with jobs is read into memory of
// its own: nobody copies it again, and it keeps nothing of other jobs.
const largeString = 2 << 10

// reader reads a reply in place. Parsing it here, and not in the client library,
// saves an allocation for each string and each array: twenty for a job. The
// first error stays; after it everything reads as empty.
type reader struct {
	buf []byte
	pos int
	err error
	// large are the strings that do not stand in buf, but in memory of their own; see reply.
	large [][]byte
	// alone says that the last string was one of these.
	alone bool
}

// head reads a line of RESP: its type, and the number or text that follows.
func (r *reader) head() (kind byte, line []byte) {
	if r.err != nil {
		return 0, nil
	}
	for i := r.pos; i+1 < len(r.buf); i++ {
		if r.buf[i] == '\r' && r.buf[i+1] == '\n' {
			line = r.buf[r.pos:i]
			r.pos = i + 2
			if len(line) == 0 {
				break
			}
			return line[0], line[1:]
		}
	}
	r.err = errReply
	return 0, nil
}

// number parses a whole number.
func (r *reader) number(line []byte) int64 {
	n, err := strconv.ParseInt(unsafeString(line), 10, 64)
	if err != nil {
		r.malformed()
	}
	return n
}

// array reads the head of an array and returns its length; nil counts as empty. The
// length is one that the rest of the reply can hold.
func (r *reader) array() int {
	switch kind, line := r.head(); kind {
	case '*', '~', '>':
		return r.length(line, 1)
	case '%':
		return r.length(line, 2)
	case '_', '$': // nil, in RESP3 and RESP2
		return 0
	case '-', '!':
		r.refused(line)
	default:
		r.malformed()
	}
	return 0
}

// shortest is how many bytes the shortest element of an array has.
const shortest = len("_\r\n")

// length parses the number of an array's elements, each of which is several.
func (r *reader) length(line []byte, several int) int {
	n := r.number(line)
	if n > int64((len(r.buf)-r.pos)/(several*shortest)) {
		r.malformed()
	}
	if n < 0 || r.err != nil {
		return 0
	}
	return int(n) * several
}

// oneStream reads the reply of XREADGROUP on one stream up to its entries;
// false says that there are none. In RESP2 the reply is an array that holds an
// array of name and entries, in RESP3 a map of them.
func (r *reader) oneStream() bool {
	if r.pos < len(r.buf) && r.buf[r.pos] == '%' {
		if r.array() == 2 {
			r.bytes()
			return r.err == nil
		}
	} else {
		switch r.array() {
		case 0:
			return false
		case 1:
			if r.array() == 2 {
				r.bytes()
				return r.err == nil
			}
		}
	}
	r.malformed()
	return false
}

// bytes reads a string, a number or a nil as bytes that it shares with the reply.
func (r *reader) bytes() []byte {
	r.alone = false
	switch kind, line := r.head(); kind {
	case '$', '=':
		size := r.number(line)
		if size < 0 || r.err != nil {
			return nil
		}
		if size >= largeString && len(r.large) > 0 {
			s := r.large[0]
			r.large, r.alone = r.large[1:], true
			return s
		}
		if size > int64(len(r.buf)-r.pos-2) {
			r.malformed()
			return nil
		}
		n := int(size)
		s := r.buf[r.pos : r.pos+n : r.pos+n]
		r.pos += n + 2
		return s
	case '+', ':', ',', '(':
		return line
	case '_':
	case '-', '!':
		r.refused(line)
	default:
		r.malformed()
	}
	return nil
}

// int reads a number.
func (r *reader) int() int64 { return r.number(r.bytes()) }

// count reads a number of things, of which there are at most so many.
func (r *reader) count(most int64) int64 {
	n := r.int()
	if n < 0 || n > most {
		r.malformed()
		return 0
	}
	return n
}

// string reads a string, which does not share the buffer's memory.
func (r *reader) string() string { return string(r.bytes()) }

// refused notes an error reply.
func (r *reader) refused(line []byte) {
	if r.err == nil {
		r.err = serverError(line)
	}
}

// malformed notes that the reply has another form than its command's.
func (r *reader) malformed() {
	if r.err == nil {
		r.err = errReply
	}
}

// unsafeString is b as a string that shares its memory: b must not be written
// again.
func unsafeString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// errorOf is the error that a whole reply is, or nil.
func errorOf(raw []byte) error {
	if len(raw) > 0 && raw[0] == '-' {
		r := reader{buf: raw}
		_, line := r.head()
		return serverError(line)
	}
	return nil
}

// encodeReply makes a reply again of the value that the client library parsed.
func encodeReply(buf []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(buf, "$-1\r\n"...)
	case int64:
		return append(strconv.AppendInt(append(buf, ':'), v, 10), '\r', '\n')
	case []any:
		buf = append(strconv.AppendInt(append(buf, '*'), int64(len(v)), 10), '\r', '\n')
		for _, e := range v {
			buf = encodeReply(buf, e)
		}
		return buf
	case string:
		buf = append(strconv.AppendInt(append(buf, '$'), int64(len(v)), 10), '\r', '\n')
		return append(append(buf, v...), '\r', '\n')
	default:
		return encodeReply(buf, fmt.Sprint(v))
	}
}
