package redis

import (
	"bytes"
	"net"
)

// handshakes are the commands by which the client library makes a connection ready. It
// waits for their replies before it sends a command of the driver, which uses none of them.
var handshakes = [...][]byte{[]byte("hello"), []byte("auth"), []byte("select"), []byte("client"), []byte("readonly")}

// isHandshake tells whether bytes that are sent begin with such a command, which is an
// array of strings with their lengths: https://redis.io/docs/latest/develop/reference/protocol-spec/
func isHandshake(b []byte) bool {
	_, b, _ = bytes.Cut(b, []byte("\n"))
	_, b, _ = bytes.Cut(b, []byte("\n"))
	word, _, whole := bytes.Cut(b, []byte("\r"))
	for _, name := range handshakes {
		if whole && bytes.EqualFold(word, name) {
			return true
		}
	}
	return false
}

// Write sends bytes.
func (c *liveConn) Write(b []byte) (int, error) {
	if !c.asked.Load() && !isHandshake(b) {
		c.asked.Store(true)
	}
	n, err := c.Conn.Write(b)
	return n, c.unlessAsked(err)
}

// Read receives bytes.
func (c *liveConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	return n, c.unlessAsked(err)
}

// unlessAsked is an error of the connection, or that of a dial if nothing was sent on it
// but the handshake: a proxy accepts connections although the server is gone, and ends
// them then.
func (c *liveConn) unlessAsked(err error) error {
	if err == nil || c.asked.Load() {
		return err
	}
	if op, ok := err.(*net.OpError); ok && (op.Op == "read" || op.Op == "write") {
		err = op.Err
	}
	return dialError{&net.OpError{Op: "dial", Net: "tcp", Addr: c.RemoteAddr(), Err: err}}
}
