package nats

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
)

// socketPair is a socket and the other side of its connection.
func socketPair(t *testing.T) (*socket, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	other, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s := &socket{Conn: conn}
	t.Cleanup(func() {
		_ = s.Close() // the test may have
		_ = other.Close()
	})
	return s, other
}

// TestSocketWritesWithoutWaiting: a side that reads nothing holds no Write up, and gets
// everything, in order, when it reads.
func TestSocketWritesWithoutWaiting(t *testing.T) {
	s, other := socketPair(t)
	var want []byte
	for i := range 200 { // more than any system keeps for a connection
		piece := bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 32<<10)
		if n, err := s.Write(piece); n != len(piece) || err != nil {
			t.Fatalf("wrote %d of %d: %v", n, len(piece), err)
		}
		want = append(want, piece...)
	}
	if s.written.Load() >= uint64(len(want)) {
		t.Fatal("the system took all of it, so the test shows nothing")
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(other, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("read something else, %v", err)
	}
	if _, err := s.Write([]byte("last")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(other, got[:4]); err != nil || string(got[:4]) != "last" {
		t.Fatalf("read %q, %v", got[:4], err)
	}
	if s.written.Load() != uint64(len(want))+4 {
		t.Errorf("%d bytes are counted, and %d were written", s.written.Load(), len(want)+4)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte("x")); err == nil {
		t.Error("a socket that is closed takes bytes")
	}
}

// TestKeptIsBounded: calls on a server that reads nothing are refused, with nothing sent,
// once much is kept of those that have given up, and go on when it reads.
func TestKeptIsBounded(t *testing.T) {
	s, other := socketPair(t)
	l := &link{nc: &natsgo.Conn{}, socket: s, inbox: "_INBOX.x."}
	c := &connection{pending: make(map[uint64]*requests)}
	c.current.Store(l)
	c.up.Store(true)
	call := make([]byte, 4<<20)
	sent := 0
	for range 25 {
		r, err := c.requests(1, "x.")
		if err != nil {
			if v := classify(err); v.Kind != driver.ErrUnavailable || v.Fate != driver.FateNotStored {
				t.Errorf("refused with %v", err)
			}
			continue
		}
		if _, err := s.Write(call); err != nil { // as the client library does
			t.Fatal(err)
		}
		sent += len(call)
		r.fail(context.DeadlineExceeded)
		r.forget()
	}
	if most := maxKept + 4*len(call); sent > most { // the system takes some as well
		t.Fatalf("%d bytes were taken of calls that gave up, want %d at most", sent, most)
	}
	if _, err := io.CopyN(io.Discard, other, int64(sent)); err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); s.isFull() && time.Since(begun) < 10*time.Second; {
		runtime.Gosched() // the last of it was read, and the goroutine that wrote it is to note that
	}
	if _, err := c.requests(1, "x."); err != nil {
		t.Errorf("the server has read all, and %v", err)
	}
}

// TestUnsent: what is lost with a connection that had taken nothing of it was not sent.
func TestUnsent(t *testing.T) {
	for _, sent := range []bool{false, true} {
		s, _ := socketPair(t)
		l := &link{socket: s}
		r := &requests{link: l, forget: func() {}, done: make(chan struct{}), answers: make([]*natsgo.Msg, 1), left: 1, written: l.written()}
		want := errUnsent
		if sent {
			want = errLost
			if _, err := s.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		r.fail(errLost)
		if err := r.wait(context.Background()); !errors.Is(err, want) {
			t.Errorf("sent %t: %v", sent, err)
		}
	}
}

// fullConn is a connection with no room, whose Write waits then until it is closed.
type fullConn struct {
	net.Conn
	waits, closed chan struct{}
}

// SetWriteDeadline tells a Write that may wait by its time.
func (c *fullConn) SetWriteDeadline(t time.Time) error {
	if t.IsZero() {
		close(c.waits)
	}
	return nil
}

// Write takes nothing.
func (c *fullConn) Write([]byte) (int, error) {
	select {
	case <-c.waits:
		<-c.closed
		return 0, net.ErrClosed
	default:
		return 0, os.ErrDeadlineExceeded
	}
}

// Close ends Write.
func (c *fullConn) Close() error {
	select {
	case <-c.closed:
	default:
		close(c.closed)
	}
	return nil
}

// TestUnderWayIsNotUnsent: what is being written when the connection is lost may have
// left, however much of it the system has told of.
func TestUnderWayIsNotUnsent(t *testing.T) {
	c := &fullConn{waits: make(chan struct{}), closed: make(chan struct{})}
	s := &socket{Conn: c}
	l := &link{socket: s}
	r := &requests{link: l, forget: func() {}, done: make(chan struct{}), answers: make([]*natsgo.Msg, 1), left: 1, written: l.written()}
	if n, err := s.Write([]byte("job")); n != 3 || err != nil {
		t.Fatalf("wrote %d: %v", n, err)
	}
	<-c.waits
	r.fail(errLost)
	if err := r.wait(context.Background()); !errors.Is(err, errLost) {
		t.Error(err)
	}
	_ = s.Close() // it ends the Write, and has no error
}

// lastConn is a connection whose Write takes everything in the moment in which it is closed.
type lastConn struct {
	fullConn
	began chan struct{}
}

// Write waits for Close.
func (c *lastConn) Write(b []byte) (int, error) {
	close(c.began)
	<-c.closed
	return len(b), nil
}

// TestEndCountsWhatLeft: when a connection has ended, all is counted that may have left.
func TestEndCountsWhatLeft(t *testing.T) {
	c := &lastConn{fullConn{waits: make(chan struct{}), closed: make(chan struct{})}, make(chan struct{})}
	s := &socket{Conn: c}
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		_, _ = s.Write([]byte("job")) // it is taken
	}()
	<-c.began
	s.end()
	if n := s.written.Load(); n != 3 {
		t.Errorf("%d bytes are counted", n)
	}
	<-wrote
}
