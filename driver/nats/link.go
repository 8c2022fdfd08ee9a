package nats

import (
	"errors"
	"strings"

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

// publish publishes. It does not wait for the server, and an error says that nothing
// was sent.
func (l *link) publish(m *natsgo.Msg) error {
	err := l.nc.PublishMsg(m)
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
