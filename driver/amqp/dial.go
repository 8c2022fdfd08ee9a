package amqp

import (
	"context"
	"errors"
	"net"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/internal/fault"
	"github.com/batch-go/batch/internal/socket"
)

// What the two connections are for.
const (
	purposePublishing = "publishing"
	purposeConsuming  = "consuming"
)

// dial connects to the first of the addresses that answers.
func (c *config) dial(ctx context.Context, purpose string) (*connection, error) {
	var first error
	for _, addr := range c.addrs {
		conn, err := c.dialAddr(ctx, addr, purpose)
		if err == nil {
			return conn, nil
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fault.NotSent{Err: first}
}

// dialAddr connects to one address.
func (c *config) dialAddr(ctx context.Context, addr, purpose string) (*connection, error) {
	dialing, cancel := context.WithTimeout(ctx, c.dialTimeout)
	defer cancel()
	h := handshake{config: c, ctx: dialing, addr: addr, receives: purpose == purposeConsuming}
	begin := time.Now()
	client, err := amqp091.DialConfig(Name+"://"+addr, c.clientConfig(purpose, h.dial))
	if h.socket != nil && !h.stop() && err == nil {
		// ctx ended when the handshake was through, and the socket is closed.
		err = dialing.Err()
		_ = client.CloseDeadline(time.Now())
	}
	if err == nil {
		return newConnection(client, h.socket, h.tap, min(c.heartbeat, maxQuiet)), nil
	}
	if h.socket != nil {
		_ = h.socket.Conn.Close() // the library leaves it open on some errors
	}
	if ended := ctx.Err(); ended != nil {
		return nil, ended
	}
	if dialing.Err() != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("no answer within " + c.dialTimeout.String())}
	}
	if errors.Is(err, amqp091.ErrCredentials) && time.Since(begin) < silentClose {
		err = errUnanswered
	}
	return nil, err
}

// silentClose is what tells a refused login from a connection that broke. The library
// takes both for the former, as it does not announce that it understands the
// answer which RabbitMQ has for that; and RabbitMQ then closes the socket without
// one, three seconds later (SILENT_CLOSE_DELAY in rabbit_reader.erl).
const silentClose = 2 * time.Second

// handshake is the making of a connection. The library's has no ctx: a deadline of
// the socket and the end of ctx stop it.
type handshake struct {
	config *config
	ctx    context.Context
	addr   string
	// receives tells that messages are to be received.
	receives bool
	socket   *corked     // nil before dial has succeeded
	tap      *tap        // as socket
	stop     func() bool // ends the watch over ctx; false if ctx has closed the socket
}

// dial makes the socket. The library's own address is not used.
func (h *handshake) dial(network, _ string) (net.Conn, error) {
	raw, err := new(net.Dialer).DialContext(h.ctx, network, h.addr)
	if err != nil {
		return nil, err
	}
	deadline, _ := h.ctx.Deadline()
	if err := raw.SetDeadline(deadline); err != nil {
		_ = raw.Close()
		return nil, err
	}
	h.socket = &corked{Conn: raw}
	h.stop = context.AfterFunc(h.ctx, func() { _ = raw.Close() })
	var conn net.Conn = h.socket
	if h.config.tls != nil {
		// The library would do so above what the driver reads of the frames.
		if conn, err = socket.Secure(h.ctx, conn, h.config.tls, h.addr); err != nil {
			return nil, err
		}
	}
	if h.receives {
		conn = &receiving{Conn: conn}
	}
	h.tap = newTap(conn)
	return h.tap, nil
}

// clientConfig is what the library is told about a connection.
func (c *config) clientConfig(purpose string, dial func(network, addr string) (net.Conn, error)) amqp091.Config {
	config := amqp091.Config{
		Vhost:      c.vhost,
		Heartbeat:  c.heartbeat,
		Properties: amqp091.NewConnectionProperties(),
		SASL:       c.auth(),
		Dial:       dial,
	}
	config.Properties.SetClientConnectionName("batch " + purpose)
	if purpose == purposeConsuming {
		config.FrameSize = amqp091.FrameSizeUnlimited // the broker's: see receiving
	}
	return config
}

// auth is a fresh value for each connection, as the library clears the password
// of what it used.
func (c *config) auth() []amqp091.Authentication {
	if c.external {
		return []amqp091.Authentication{&amqp091.ExternalAuth{}}
	}
	return []amqp091.Authentication{&amqp091.PlainAuth{Username: c.user, Password: c.password()}}
}
