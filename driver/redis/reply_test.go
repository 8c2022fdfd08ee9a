package redis

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// fill gives a reply what the client library does of a list of n texts.
func fill(t *testing.T, r *reply, n int, text string) {
	t.Helper()
	line := func(s string) {
		for _, part := range []string{s, "\r\n"} {
			if n, err := r.Write([]byte(part)); n != len(part) || err != nil {
				t.Fatalf("Write = %d, %v", n, err)
			}
		}
	}
	line(fmt.Sprint("*", n))
	for range n {
		line(fmt.Sprint("$", len(text)))
		if _, err := io.CopyN(r, iotest.HalfReader(strings.NewReader(text+"\r\n")), int64(len(text)+2)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReply: a reply has what the server sent, and takes no more memory than it needs once the
// size of a job is known. Large strings have memory of their own.
func TestReply(t *testing.T) {
	for _, n := range []int{0, 1, manyElements, batchSize} {
		for _, size := range []int{0, 1, 300, largeString - 1, largeString, 70000, mostAhead + 1, 3*mostAhead + 1} {
			if n*size > 1<<24 {
				continue
			}
			text := strings.Repeat("x", size)
			from := &reply{perJob: len(fmt.Sprintf("$%d\r\n", size))}
			if size < largeString {
				from.perJob += size + 2
			}
			fill(t, from, n, text)
			r := from.reader()
			if got := r.array(); got != n {
				t.Errorf("it has %d elements of %d", got, n)
			}
			for range n {
				if got := r.bytes(); string(got) != text || cap(got) != size || r.alone != (size >= largeString) {
					t.Fatalf("a string of %d bytes has %d and room for %d, alone: %t", size, len(got), cap(got), r.alone)
				}
			}
			if r.err != nil || r.pos != len(r.buf) || len(r.large) != 0 {
				t.Errorf("%d of %d bytes: %v, at %d of %d", n, size, r.err, r.pos, len(r.buf))
			}
			if spare := cap(from.text) - len(from.text); spare > len(from.text)/8+smallReply && n >= manyElements && len(from.text) < mostAhead {
				t.Errorf("%d of %d bytes: %d bytes are spare of %d", n, size, spare, cap(from.text))
			}
		}
	}
}

// TestReplyThatBreaks: a string is cut off where the connection broke, and its length alone takes
// no memory.
func TestReplyThatBreaks(t *testing.T) {
	broken := errors.New("broken")
	for _, size := range []int64{10, largeString + 2, 1 << 40} {
		r := &reply{}
		n, err := io.CopyN(r, io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(broken)), size)
		if n != 3 || err != broken {
			t.Errorf("CopyN = %d, %v", n, err)
		}
		if n, err := io.CopyN(r, strings.NewReader("def"), size); n != 3 || err != io.EOF {
			t.Errorf("CopyN = %d, %v, want 3 bytes and EOF", n, err)
		}
		if len(r.large) != 0 || cap(r.text) > 2*smallReply {
			t.Errorf("%d bytes and %d strings of a reply that broke", cap(r.text), len(r.large))
		}
	}
}

// TestReaderOfLargeStrings: a string that is not there is none, and of a reply that was read as a
// whole all are in their places.
func TestReaderOfLargeStrings(t *testing.T) {
	text := strings.Repeat("x", largeString)
	r := reader{buf: []byte(fmt.Sprintf("*2\r\n$%d\r\n$%d\r\n", largeString, largeString)), large: [][]byte{[]byte(text)}}
	if n, one, two := r.array(), r.bytes(), r.bytes(); n != 2 || string(one) != text || two != nil || r.err != errReply {
		t.Errorf("%d elements, of %d and %d bytes, %v", n, len(one), len(two), r.err)
	}
	r = reader{buf: encodeReply(nil, text)}
	if got := r.string(); got != text || r.err != nil || r.alone {
		t.Errorf("%d bytes, %v", len(got), r.err)
	}
}
