package postgres

import (
	"context"
	"crypto/tls"
	"net"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/batch-go/batch/internal/socket"
)

// dialer makes the connections of a driver, and can cut all of them: the client library waits for the
// other side when it closes one, or sends a cancel request, for up to 15 seconds.
type dialer struct {
	dial pgconn.DialFunc
	cut  context.Context
	stop context.CancelFunc

	mu   sync.Mutex // guards following
	open map[*tracked]struct{}
}

// tracked is a connection that leaves its dialer when it is closed.
type tracked struct {
	net.Conn
	dialer *dialer
}

// newDialer takes the place of what the client library dials by.
func newDialer(config *pgconn.Config) *dialer {
	d := &dialer{dial: config.DialFunc, open: make(map[*tracked]struct{})}
	d.cut, d.stop = context.WithCancel(context.Background())
	config.DialFunc = d.connect
	return d
}

// connect dials, until ctx ends or all is cut.
func (d *dialer) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.cut, cancel)()
	conn, err := d.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	t := &tracked{conn, d}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut.Err() != nil {
		_ = conn.Close() // nothing was sent on it
		return nil, net.ErrClosed
	}
	d.open[t] = struct{}{}
	return t, nil
}

// Close closes the connection.
func (t *tracked) Close() error {
	t.dialer.mu.Lock()
	delete(t.dialer.open, t)
	t.dialer.mu.Unlock()
	return t.Conn.Close()
}

// close cuts all connections, and keeps others from being made.
func (d *dialer) close() {
	d.stop()
	d.mu.Lock()
	var all []*tracked
	for t := range d.open {
		all = append(all, t)
	}
	d.mu.Unlock()
	for _, t := range all {
		_ = t.Close() // what was under way on it ends
	}
}

// isUsable tells whether an idle connection has not been closed by the other side, as far as the system
// knows without asking it. Whatever a server sends unasked, on its end mostly, is a reason not to use it.
func isUsable(conn *pgx.Conn) bool {
	raw := conn.PgConn().Conn()
	if secure, ok := raw.(*tls.Conn); ok {
		raw = secure.NetConn()
	}
	if t, ok := raw.(*tracked); ok {
		raw = t.Conn
	}
	var head [1]byte
	_, err := socket.Peek(raw, head[:])
	return err == socket.ErrNothing
}
