package amqp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/internal/socket"
)

// connection is one connection while it lives. It is never revived: what comes
// after it is another connection, so that nothing of the old one, such as a
// delivery tag, can be taken for something of the new.
type connection struct {
	client *amqp091.Connection
	socket *corked
	tap    *tap
	// trials is how many publishers it has of one large message each, beside that of all others.
	trials atomic.Int32
	// quiet is after how much silence of the broker the connection may be dead.
	quiet time.Duration
	// ended is closed when the connection has ended, for err.
	ended chan struct{}

	mu sync.Mutex // guards following
	// err is why it ended; nil if it was closed from here.
	err error
	// flowing is closed while the broker takes messages. While the broker has
	// blocked the connection because it is short of memory or disk, it is another
	// channel, and blockedFor is the broker's reason:
	// https://www.rabbitmq.com/docs/connection-blocked
	flowing    chan struct{}
	blockedFor string
}

// newConnection takes over a connection that the library made on socket, through tap.
func newConnection(client *amqp091.Connection, socket *corked, tap *tap, quiet time.Duration) *connection {
	c := &connection{client: client, socket: socket, tap: tap, quiet: quiet, ended: make(chan struct{}), flowing: make(chan struct{})}
	close(c.flowing)
	closes := client.NotifyClose(make(chan *amqp091.Error, 1))
	blocks := client.NotifyBlocked(make(chan amqp091.Blocking, 1))
	go c.watch(closes, blocks)
	return c
}

// watch follows the connection until it ends.
func (c *connection) watch(closes <-chan *amqp091.Error, blocks <-chan amqp091.Blocking) {
	defer close(c.ended)
	blocked := false
	for {
		select {
		case b, ok := <-blocks:
			if !ok {
				blocks = nil
				continue
			}
			c.mu.Lock()
			switch {
			case b.Active && !blocked:
				c.flowing, c.blockedFor = make(chan struct{}), b.Reason
			case !b.Active && blocked:
				close(c.flowing)
			}
			c.mu.Unlock()
			blocked = b.Active
		case err := <-closes:
			c.mu.Lock()
			if err != nil {
				c.err = err
			}
			c.mu.Unlock()
			return
		}
	}
}

// alive tells whether the connection is of use.
func (c *connection) alive() bool {
	select {
	case <-c.ended:
		return false
	default:
		return !c.client.IsClosed()
	}
}

// flow returns a channel that is closed while the broker takes messages, and why
// the broker does not.
func (c *connection) flow() (<-chan struct{}, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flowing, c.blockedFor
}

// isBlocked tells whether the broker takes no messages.
func (c *connection) isBlocked() bool {
	flowing, _ := c.flow()
	select {
	case <-flowing:
		return false
	default:
		return true
	}
}

// maxQuiet: the broker sends something twice in a heartbeat, and by default that is
// 10 s. What cuts idle connections off without a word, as load balancers do, takes
// minutes.
const maxQuiet = 10 * time.Second

// isQuiet tells whether the connection may be dead without anybody knowing: the broker
// should have sent something by now. A call that must not be sent in vain asks first
// whether it answers. A broker that has blocked the connection would not.
func (c *connection) isQuiet() bool { return c.socket.silence() > c.quiet && !c.isBlocked() }

// hungUp tells whether the other side has closed the connection, though the library has
// not read so far. Just after something was read it does not ask.
func (c *connection) hungUp() bool {
	const justNow, enough = 10 * time.Millisecond, 10 * time.Millisecond
	if c.socket.silence() < justNow {
		return false
	}
	ended, pending := peek(c.socket.Conn)
	// What is there to be read may be the broker's farewell. The reader has it in a moment.
	for begin := time.Now(); pending && !ended && time.Since(begin) < enough; {
		runtime.Gosched()
		ended, pending = peek(c.socket.Conn)
	}
	return ended || !c.alive()
}

// peek tells what the system knows of a socket and its reader does not yet: that it has
// ended, or that something is there to be read.
func peek(conn net.Conn) (ended, pending bool) {
	var first [1]byte
	n, err := socket.Peek(conn, first[:])
	return err != nil && err != socket.ErrNothing, n > 0
}

// answers asks the broker for a sign. Without one in time the connection is cut.
func (c *connection) answers() bool {
	bound := time.AfterFunc(closeTime, c.cut)
	defer bound.Stop()
	ch, err := c.client.Channel()
	if err != nil {
		return false
	}
	_ = ch.Close() // if it fails, the connection ends
	return c.alive()
}

// explain adds to the error of a call why the connection ended, if that is what
// the call failed by.
func (c *connection) explain(err error) error {
	if !errors.Is(err, amqp091.ErrClosed) || c.alive() {
		return err
	}
	// The library notices the end of a connection at a read, and then waits for a write
	// that may hang on the same socket.
	c.cut()
	<-c.ended
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		return err
	}
	return fmt.Errorf("%w: %w", err, c.err)
}

// close ends the connection politely until ctx ends, and then cuts it.
func (c *connection) close(ctx context.Context) error {
	deadline := time.Now().Add(closeTime)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	stop := context.AfterFunc(ctx, c.cut)
	err := c.client.CloseDeadline(deadline)
	late := !time.Now().Before(deadline)
	if !stop() {
		err, late = ctx.Err(), true
	}
	c.cut()
	<-c.ended
	if !late || errors.Is(err, amqp091.ErrClosed) {
		return nil // if it failed, the connection had ended by itself, or ended meanwhile
	}
	return err
}

// closeTime bounds the closing handshake of a Close without a deadline: a broker
// that lives answers in a few milliseconds.
const closeTime = 5 * time.Second

// cut breaks the connection.
func (c *connection) cut() { _ = c.socket.Conn.Close() }

// isFit tells whether something may be published, as far as can be known without asking
// the broker.
func (c *connection) isFit() bool { return c.alive() && !c.isQuiet() && !c.hungUp() }

// revive asks whether a connection that is not fit lives nevertheless, and ends it if it
// does not.
func (c *connection) revive() bool {
	if c.hungUp() {
		c.cut()
		<-c.ended
	}
	return c.alive() && (!c.isQuiet() || c.answers())
}
