package proxy

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Direction is where bytes go. Directions can be combined.
type Direction uint8

const (
	// Up is from clients to the broker.
	Up Direction = 1 << iota
	// Down is from the broker to clients.
	Down
	// Both is Up and Down.
	Both = Up | Down
)

// drainTime is how long a broker gets to close a connection on which its last call
// has come.
const drainTime = time.Second

// link is one connection of a client, with the one to the broker behind it.
type link struct {
	client, broker *net.TCPConn
	forgotten      bool          // guarded by the proxy's mu
	mute           atomic.Bool   // what the broker says is for nobody
	done           chan struct{} // closed when nothing is to pass any more
	once           sync.Once
}

// end closes both sides, in order.
func (l *link) end() {
	l.once.Do(func() {
		close(l.done)
		_ = l.client.Close()
		_ = l.broker.Close()
	})
}

// reset breaks both sides.
func (l *link) reset() {
	l.once.Do(func() {
		close(l.done)
		abort(l.client)
		abort(l.broker)
	})
}

// abort closes a connection so that the other side gets a reset.
func abort(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// write passes on bytes, and breaks the link if the other side is gone.
func write(l *link, to *net.TCPConn, b []byte) error {
	_, err := to.Write(b)
	if err != nil && l.mute.Load() {
		return nil
	}
	if err != nil {
		l.reset()
	}
	return err
}

// last passes on a call, and returns when the broker has closed the connection or has
// had time to. The client gets no answer.
func (l *link) last(bytes []byte) {
	l.mute.Store(true)
	abort(l.client)
	if _, err := l.broker.Write(bytes); err != nil {
		return
	}
	_ = l.broker.CloseWrite()
	// A reset would take away from the broker what it has not read yet.
	_ = l.broker.SetReadDeadline(time.Now().Add(drainTime))
	_, _ = io.Copy(io.Discard, l.broker)
}
