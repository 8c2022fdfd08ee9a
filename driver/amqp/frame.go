package amqp

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
)

// frameSlack is how much larger than was agreed on a frame of the broker may be. It
// keeps all properties of a message in one frame, and adds to those that another
// program has filled it with, when the message comes a second time or was moved.
const frameSlack = 64 << 10

// receiving is a connection on which the client library takes larger frames from the
// broker than it was told. Otherwise it would end the connection at such a message,
// and at the next one again, since nobody could ever take it out of its queue. It
// changes the size in connection.tune, by which the library learns it, and changes it
// back in connection.tune-ok, by which the broker does. What is sent on the connection
// must fit into frames of any size: no messages are published on it.
type receiving struct {
	net.Conn
	// next is what was read and not returned.
	next []byte
	// isTuned tells that connection.tune was read, or will not come.
	isTuned bool
	// isAnswered tells that connection.tune-ok was written.
	isAnswered bool
}

// The first bytes of the two frames, type, channel, size, class and method, and where
// the size of a frame stands in both.
var (
	tuneFrame   = []byte{1, 0, 0, 0, 0, 0, 12, 0, 10, 0, 30}
	tuneOkFrame = []byte{1, 0, 0, 0, 0, 0, 12, 0, 10, 0, 31}
)

const (
	frameHead   = 7  // type, channel, size
	frameMaxAt  = 13 // behind the head, the class, the method and the number of channels
	maxGreeting = 1 << 20
)

// Read reads frame by frame until the size was agreed on.
func (r *receiving) Read(b []byte) (int, error) {
	if len(r.next) == 0 && !r.isTuned {
		if err := r.readFrame(); err != nil && len(r.next) == 0 {
			return 0, err
		}
	}
	if len(r.next) > 0 {
		n := copy(b, r.next)
		r.next = r.next[n:]
		return n, nil
	}
	return r.Conn.Read(b)
}

// readFrame reads a frame of the greeting. What is none is left to the library.
func (r *receiving) readFrame() error {
	frame := make([]byte, frameHead, 512)
	n, err := io.ReadFull(r.Conn, frame)
	r.next = frame[:n]
	if err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(frame[3:])
	if frame[0] != methodFrame || size > maxGreeting {
		r.isTuned = true
		return nil
	}
	frame = append(frame, make([]byte, size+1)...)
	n, err = io.ReadFull(r.Conn, frame[frameHead:])
	r.next = frame[:frameHead+n]
	if err == nil && bytes.HasPrefix(frame, tuneFrame) {
		r.isTuned = true
		if most := binary.BigEndian.Uint32(frame[frameMaxAt:]); most > 0 && most < 1<<31 {
			binary.BigEndian.PutUint32(frame[frameMaxAt:], most+frameSlack)
		}
	}
	return err
}

// Write changes connection.tune-ok, which the library writes by itself.
func (r *receiving) Write(b []byte) (int, error) {
	if r.isAnswered || !bytes.HasPrefix(b, tuneOkFrame) || len(b) < frameMaxAt+4 {
		return r.Conn.Write(b)
	}
	r.isAnswered = true
	b = bytes.Clone(b)
	if most := binary.BigEndian.Uint32(b[frameMaxAt:]); most > frameSlack {
		binary.BigEndian.PutUint32(b[frameMaxAt:], most-frameSlack)
	}
	return r.Conn.Write(b)
}
