package nats

import (
	"errors"
	"strings"
	"sync/atomic"

	natsgo "github.com/nats-io/nats.go"
)

// link is one connection of the client library.
type link struct {
	nc     *natsgo.Conn
	socket *socket       // nil if it was passed in
	gone   chan struct{} // closed when the library has closed it; nil if it was passed in
	inbox  string        // ends with a dot
	sub    *natsgo.Subscription
	server string // by which it was made, if that is none of the URL; else ""
	// open says that the driver may write to the socket beside the library: nothing lies
	// between them that makes other bytes of what is sent, such as TLS.
	open bool
	// heard says that an answer has come to inbox, so that the server knows of it.
	heard atomic.Bool
	// payload is as much as the server took in one message when it was made.
	payload int64
	// mailboxes are for enqueues that come alone.
	mailboxes mailboxes
}

// written is how many bytes the system took of what was sent.
func (l *link) written() uint64 {
	if l.socket == nil {
		return 0
	}
	return l.socket.written.Load()
}

// write writes messages beside the client library, if open says that it may.
func (l *link) write(messages []byte) {
	if _, err := l.socket.Write(messages); err != nil {
		// The library sees by that that the connection is lost, and a call that waits is told
		// how much may have left.
		_ = l.socket.Close()
	}
}

// publish publishes by way of the client library. It does not wait for the server, and an error
// says that nothing was sent.
func (l *link) publish(subject, reply string, h header, data []byte) error {
	err := l.nc.PublishMsg(&natsgo.Msg{Subject: subject, Reply: reply, Header: h.parsed(), Data: data})
	if l.socket != nil && isClosedConn(err) {
		return errDown // it is being made anew
	}
	return err
}

// isClosedConn tells the client library's error of a connection that it has closed.
func isClosedConn(err error) bool {
	return errors.Is(err, natsgo.ErrConnectionClosed) || errors.Is(err, natsgo.ErrConnectionDraining) ||
		err != nil && strings.Contains(err.Error(), "use of closed network connection")
}
