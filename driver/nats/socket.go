package nats

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// socket is the connection to a server as the client library sees it: its Write does
// not wait for the other side. The library writes with the lock held that every call
// takes, so a server that stops reading would otherwise hold up all calls, those
// included whose ctx has ended. What the system does not take is kept, and written by
// a goroutine. That is no more than maxKept and what the calls under way want to send:
// while more is kept, no call sends anything. Calls that give up leave what they wanted
// to send, so that a server which reads nothing would have all calls of half a minute
// kept until it is taken for dead.
type socket struct {
	net.Conn
	written atomic.Uint64 // bytes that the system took, or is just offered
	waiting atomic.Int64  // bytes that are kept or just offered

	mu      sync.Mutex // guards following
	kept    []byte     // what is to be written
	writing bool       // a goroutine writes what is kept
	broken  error
}

// maxKept is as much as the publishers of a queue send together, and as a server keeps for
// a client that does not read (max_pending).
const maxKept = 64 << 20

// isFull tells whether too much is kept to send more.
func (s *socket) isFull() bool { return s.waiting.Load() > maxKept }

// writeTime is how long a Write may wait. A system with room takes bytes at once.
const writeTime = 5 * time.Millisecond

// Write hands bytes to the system, or keeps them.
func (s *socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return 0, s.broken
	}
	if s.writing {
		s.keep(p)
		return len(p), nil
	}
	if err := s.Conn.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return 0, err
	}
	n, err := s.Conn.Write(p)
	s.written.Add(uint64(n))
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		s.keep(p[n:])
		s.writing = true
		go s.writeKept()
		return len(p), nil
	}
	s.broken = err
	return n, err
}

// keep keeps bytes to be written. s.mu must be held.
func (s *socket) keep(p []byte) {
	s.kept = append(s.kept, p...)
	s.waiting.Add(int64(len(p)))
}

// writeKept writes what is kept until there is nothing left, or the connection ends.
func (s *socket) writeKept() {
	for {
		s.mu.Lock()
		some := s.kept
		s.kept, s.writing = nil, len(some) > 0
		s.mu.Unlock()
		if len(some) == 0 {
			return
		}
		// Counted before: who finds the connection lost meanwhile cannot know how many
		// of them have left.
		s.written.Add(uint64(len(some)))
		err := s.Conn.SetWriteDeadline(time.Time{})
		if err == nil {
			_, err = s.Conn.Write(some)
		}
		if err != nil {
			_ = s.Conn.Close() // what follows on the wire would be in the middle of something
			s.mu.Lock()
			s.broken, s.kept = err, nil // and writing stays, so that no other goroutine begins
			s.mu.Unlock()
			return
		}
		s.waiting.Add(-int64(len(some)))
	}
}

// end ends the connection, and returns when no Write is under way: all that may have left is
// counted then.
func (s *socket) end() {
	_ = s.Conn.Close() // it may be closed already
	s.mu.Lock()
	defer s.mu.Unlock()
}

// SetDeadline bounds reading. A Write has its own bound.
func (s *socket) SetDeadline(t time.Time) error { return s.SetReadDeadline(t) }

// SetWriteDeadline does nothing: a Write has its own bound.
func (*socket) SetWriteDeadline(time.Time) error { return nil }
