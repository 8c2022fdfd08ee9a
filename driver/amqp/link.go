package amqp

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// link is one connection while it lives. It is never revived: what comes after
// it is another link, so that nothing of the old one, such as a delivery tag,
// can be taken for something of the new.
type link struct {
	conn *amqp091.Connection
	wire *corked
	// ended is closed when the connection has ended, for err.
	ended chan struct{}

	mu sync.Mutex // guards following
	// err is why it ended; nil if it was closed from here.
	err error
	// open is closed while the broker takes messages, and open while it has
	// blocked the connection because it is short of memory or disk:
	// https://www.rabbitmq.com/docs/connection-blocked
	open   chan struct{}
	reason string
}

func newLink(conn *amqp091.Connection, wire *corked) *link {
	l := &link{conn: conn, wire: wire, ended: make(chan struct{}), open: make(chan struct{})}
	close(l.open)
	closes := conn.NotifyClose(make(chan *amqp091.Error, 1))
	blocks := conn.NotifyBlocked(make(chan amqp091.Blocking, 1))
	go l.watch(closes, blocks)
	return l
}

// watch follows the connection until it ends.
func (l *link) watch(closes <-chan *amqp091.Error, blocks <-chan amqp091.Blocking) {
	defer close(l.ended)
	blocked := false
	for {
		select {
		case b, ok := <-blocks:
			if !ok {
				blocks = nil
				continue
			}
			l.mu.Lock()
			switch {
			case b.Active && !blocked:
				l.open, l.reason = make(chan struct{}), b.Reason
			case !b.Active && blocked:
				close(l.open)
			}
			l.mu.Unlock()
			blocked = b.Active
		case err := <-closes:
			l.mu.Lock()
			if err != nil {
				l.err = err
			}
			l.mu.Unlock()
			return
		}
	}
}

// alive tells whether the connection is of use.
func (l *link) alive() bool {
	select {
	case <-l.ended:
		return false
	default:
		return !l.conn.IsClosed()
	}
}

// flow returns a channel that is closed while the broker takes messages, and why
// it does not.
func (l *link) flow() (<-chan struct{}, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open, l.reason
}

// close ends the connection politely until ctx ends, and then cuts it.
func (l *link) close(ctx context.Context) error {
	deadline := time.Now().Add(closeTime)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	stop := context.AfterFunc(ctx, l.cut)
	err := l.conn.CloseDeadline(deadline)
	if !stop() {
		err = ctx.Err()
	}
	l.cut()
	<-l.ended
	if errors.Is(err, amqp091.ErrClosed) {
		return nil // it had ended by itself
	}
	return err
}

// closeTime bounds the closing handshake of a Close without a deadline: a broker
// that lives answers in a few milliseconds.
const closeTime = 5 * time.Second

// cut breaks the connection.
func (l *link) cut() { _ = l.wire.Conn.Close() }

// dial connects to the first of the addresses that answers.
func (c *config) dial(ctx context.Context, purpose string) (*link, error) {
	var first error
	for _, addr := range c.addrs {
		l, err := c.dialAddr(ctx, addr, purpose)
		if err == nil {
			return l, nil
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, notSent{first}
}

func (c *config) dialAddr(ctx context.Context, addr, purpose string) (*link, error) {
	dialing, cancel := context.WithTimeout(ctx, c.dialTimeout)
	defer cancel()
	var wire *corked
	var stop func() bool
	config := amqp091.Config{
		Vhost:           c.vhost,
		Heartbeat:       c.heartbeat,
		TLSClientConfig: c.tls.Clone(),
		Properties:      amqp091.NewConnectionProperties(),
		SASL:            c.auth(),
		// The handshake has no ctx; a deadline and the end of ctx stop it.
		Dial: func(network, _ string) (net.Conn, error) {
			d := net.Dialer{}
			raw, err := d.DialContext(dialing, network, addr)
			if err != nil {
				return nil, err
			}
			deadline, _ := dialing.Deadline()
			if err := raw.SetDeadline(deadline); err != nil {
				_ = raw.Close()
				return nil, err
			}
			wire = &corked{Conn: raw}
			stop = context.AfterFunc(dialing, func() { _ = raw.Close() })
			return wire, nil
		},
	}
	config.Properties.SetClientConnectionName("batch " + purpose)
	// The address is that of Dial above; this one names the scheme only, for it
	// is here that the library decides on TLS.
	scheme := "amqp"
	if c.tls != nil {
		scheme = "amqps"
	}
	begin := time.Now()
	conn, err := amqp091.DialConfig(scheme+"://"+addr, config)
	if stop != nil && !stop() && err == nil {
		// ctx ended when the handshake was through, and the socket is closed.
		err = dialing.Err()
		_ = conn.CloseDeadline(time.Now())
	}
	if err == nil {
		return newLink(conn, wire), nil
	}
	if wire != nil {
		_ = wire.Conn.Close() // the library leaves it open on some errors
	}
	if ended := ctx.Err(); ended != nil {
		return nil, ended
	}
	if dialing.Err() != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("no answer within " + c.dialTimeout.String())}
	}
	if errors.Is(err, amqp091.ErrCredentials) && time.Since(begin) < silence {
		err = errUnanswered
	}
	return nil, err
}

// silence is what tells a refused login from a connection that broke. The library
// takes both for the former, as it does not announce that it understands the
// answer which RabbitMQ has for that; and RabbitMQ then closes the socket without
// one, three seconds later (SILENT_CLOSE_DELAY in rabbit_reader.erl).
const silence = 2 * time.Second
