package nats

import (
	"bytes"
	"strconv"
	"strings"

	natsgo "github.com/nats-io/nats.go"
)

// header are the headers of a message as they are on the wire: a first line, a line for each, and
// an empty one. A map of them would take an allocation for each, to be written in this form then.
type header []byte

// lineSpace is how many bytes the headers of a job that failed take beside its texts.
const lineSpace = 144

// newHeader makes headers of names and values.
func newHeader(pairs ...string) header {
	return make(header, 0, lineSpace).begin().lines(pairs...).end()
}

// begin appends the first line.
func (h header) begin() header { return append(h, "NATS/1.0\r\n"...) }

// end appends the empty line.
func (h header) end() header { return append(h, "\r\n"...) }

// lines appends names and values.
func (h header) lines(pairs ...string) header {
	for i := 0; i+1 < len(pairs); i += 2 {
		h = h.line(pairs[i], pairs[i+1])
	}
	return h
}

// line appends one. A value is one line, whatever is in it.
func (h header) line(name, value string) header {
	h = append(append(h, name...), ": "...)
	if strings.IndexByte(value, '\n') >= 0 || strings.IndexByte(value, '\r') >= 0 {
		value = strings.NewReplacer("\r", " ", "\n", " ").Replace(value)
	}
	return append(append(h, value...), "\r\n"...)
}

// number appends one that is a number.
func (h header) number(name string, value int64) header {
	h = append(append(h, name...), ": "...)
	return append(strconv.AppendInt(h, value, 10), "\r\n"...)
}

// open appends h to space, without its empty line, so that more can follow.
func (h header) open(space header) header { return append(space, h[:len(h)-len("\r\n")]...) }

// with appends h and more names and values to space.
func (h header) with(space header, pairs ...string) header {
	return h.open(space).lines(pairs...).end()
}

// has tells whether there is one of a name.
func (h header) has(name string) bool { return bytes.Contains(h, []byte("\r\n"+name+": ")) }

// parsed is what the client library takes, which writes the same again. All values share one
// array, as each would be a slice of one string otherwise.
func (h header) parsed() natsgo.Header {
	if h == nil {
		return nil
	}
	_, rest, _ := strings.Cut(string(h), "\r\n")
	n := strings.Count(rest, "\r\n") - 1
	all, values := make(natsgo.Header, n), make([]string, 0, n)
	for range n {
		var line string
		line, rest, _ = strings.Cut(rest, "\r\n")
		name, value, _ := strings.Cut(line, ": ")
		if old := all[name]; old != nil {
			all[name] = append(old, value)
			continue
		}
		values = append(values, value)
		all[name] = values[len(values)-1 : len(values) : len(values)]
	}
	return all
}
