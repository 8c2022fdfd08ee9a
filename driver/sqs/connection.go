package sqs

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/batch-go/batch/internal/socket"
)

// errEnded is why nothing was written to a connection.
var errEnded = errors.New("the server closed the connection while it was idle")

// connection is one to the server. net/http keeps it for the next request, and sees its
// end only when a goroutine of its own has come to read that. A request that is written
// before then fails like one that the server may have carried out. So the first write
// of all, and the first after an answer, look for the end themselves: they then fail
// with nothing written, and net/http sends the request on another connection.
type connection struct {
	net.Conn
	fresh atomic.Bool // nothing was written since something was read
}

// Read reads, and notes that it did.
func (c *connection) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.fresh.Store(true)
	}
	return n, err
}

// Write writes, unless it would begin a request on a connection that has ended.
func (c *connection) Write(b []byte) (int, error) {
	if c.fresh.Swap(false) && hasEnded(c.Conn) {
		return 0, errEnded
	}
	return c.Conn.Write(b)
}

// watchConnections makes a transport's connections look for their end.
func watchConnections(t *http.Transport) {
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		own := &connection{Conn: c}
		own.fresh.Store(true)
		return own, nil
	}
}

// hasEnded tells whether the other side has closed a connection. It looks at what has
// come without taking it, and does not wait.
func hasEnded(c net.Conn) bool {
	var head [5]byte
	n, err := socket.Peek(c, head[:])
	if err == nil {
		return saysEnd(head[:n])
	}
	return err != socket.ErrNothing
}

// saysEnd tells whether what is to be read next, of which head is the beginning, ends
// the connection: it is TLS's close_notify. That is an alert, which TLS 1.3 hides in a
// record of application data, but for its length.
func saysEnd(head []byte) bool {
	const alert, data, length = 0x15, 0x17, 19
	if len(head) < 5 || head[1] != 3 {
		return false
	}
	return head[0] == alert || head[0] == data && head[3] == 0 && head[4] == length
}
