package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/batch-go/batch/internal/fault"
	"github.com/batch-go/batch/internal/socket"
)

// keepAlive notices within a minute that the other side of an idle connection is gone.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 5 * time.Second, Count: 3}

// dialer makes the connections of one driver's client, and ends them all. The client
// library waits for a dial, a TLS handshake or a sentinel that does not answer even when
// it is closed, until the timeout of each.
type dialer struct {
	timeout time.Duration // for the connection and the handshake together
	calls   *calls        // that wait on its connections; nil without such
	tls     *tls.Config   // nil for plain TCP

	cut context.Context // ends with end
	end context.CancelFunc

	mu    sync.Mutex // guards conns
	conns map[*liveConn]struct{}
}

// newDialer makes a dialer. tls and calls may be nil.
func newDialer(timeout time.Duration, tls *tls.Config, calls *calls) *dialer {
	d := &dialer{timeout: timeout, tls: tls, calls: calls, conns: make(map[*liveConn]struct{})}
	d.cut, d.end = context.WithCancel(context.Background())
	return d
}

// dial makes a connection. Nothing was sent if it returns an error.
func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	defer context.AfterFunc(d.cut, cancel)()
	raw, err := (&net.Dialer{KeepAliveConfig: keepAlive}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn := raw
	if d.tls != nil {
		conn, err = socket.Secure(ctx, raw, d.tls, address)
	}
	if err != nil {
		_ = raw.Close()
		if !fault.IsTLS(err) {
			err = &net.OpError{Op: "dial", Net: network, Addr: raw.RemoteAddr(), Err: err}
		}
		return nil, err
	}
	live := &liveConn{Conn: conn, raw: raw, dialer: d, seat: seat{conn: conn}}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut.Err() != nil {
		_ = raw.Close()
		return nil, &net.OpError{Op: "dial", Net: network, Addr: raw.RemoteAddr(), Err: net.ErrClosed}
	}
	d.conns[live] = struct{}{}
	return live, nil
}

// close ends all connections and the calls on them, and every dial that is under way or
// comes later. A nil dialer has none.
func (d *dialer) close() {
	if d == nil {
		return
	}
	d.end()
	d.calls.interrupt()
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.conns {
		_ = c.raw.Close()
	}
}

// liveConn is a connection whose socket the client library can look at before it uses
// the connection: what the other side has closed while it was idle is left out. Of a
// tls.Conn it cannot see the socket by itself. Anything to read on an idle connection is
// an end too: the notice of TLS that it closes, mostly.
type liveConn struct {
	net.Conn
	raw    net.Conn
	dialer *dialer
	seat   seat
	// asked is set once something was sent that is no part of the handshake.
	asked atomic.Bool
}

// errNoSocket says that a connection has no socket to look at. No dial makes one.
var errNoSocket = errors.New("the connection has no socket")

// SyscallConn is the socket.
func (c *liveConn) SyscallConn() (syscall.RawConn, error) {
	socket, ok := c.raw.(syscall.Conn)
	if !ok {
		return nil, errNoSocket
	}
	return socket.SyscallConn()
}

// Close closes the connection.
func (c *liveConn) Close() error {
	c.dialer.mu.Lock()
	delete(c.dialer.conns, c)
	c.dialer.mu.Unlock()
	return c.Conn.Close()
}

// SetReadDeadline sets the deadline, unless the call with that was interrupted.
func (c *liveConn) SetReadDeadline(t time.Time) error {
	return c.setDeadline(c.Conn.SetReadDeadline, t)
}

// SetWriteDeadline sets the deadline, unless the call with that was interrupted.
func (c *liveConn) SetWriteDeadline(t time.Time) error {
	return c.setDeadline(c.Conn.SetWriteDeadline, t)
}

// setDeadline sets a deadline by set. The one that a call is found by stands for its timeout.
func (c *liveConn) setDeadline(set func(time.Time) error, t time.Time) error {
	if one := c.dialer.calls.find(t); one != nil {
		return one.wait(&c.seat, set)
	}
	return c.seat.take(nil, set, t)
}
