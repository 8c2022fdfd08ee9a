package amqp

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// publication is one message on its way to a queue.
type publication struct {
	queue   string // the broker's name for it
	message amqp091.Publishing
	// ttl is that of the delay queue to which it goes, else zero.
	ttl time.Duration
	// err is what became of it, once publish has returned; nil is confirmed.
	err error

	// state decides the race between a caller that gives up and the writer.
	state   atomic.Int32
	confirm *amqp091.DeferredConfirmation
	// refused is the error of the write, if no confirm is to come.
	refused error
}

// The states of a publication.
const (
	pubQueued int32 = iota
	pubWritten
	pubWithdrawn // by the caller, before it was written
)

// pubBatch is publications that are written together.
type pubBatch struct {
	items   []*publication
	written chan struct{} // closed when the writer is through with it
}

// publisher publishes on one channel in confirm mode, which lives as long as
// that channel. Any number of batches may be under way: one goroutine writes
// them, since a write may block for as long as the broker likes and a caller
// must not, and each caller waits for the confirms of its own.
type publisher struct {
	conn *connection
	ch   *amqp091.Channel
	// batches is where the writer takes them from.
	batches chan *pubBatch
	// questions are put to the goroutine that receives returned messages.
	questions chan func(*unrouted)
	// confirmed tells that the broker has stored a message from this channel.
	confirmed atomic.Bool
	// ended is closed when the channel has ended, for err.
	ended chan struct{}
	err   error
}

// newPublisher opens a channel in confirm mode.
func newPublisher(conn *connection) (*publisher, error) {
	ch, err := conn.client.Channel()
	if err != nil {
		return nil, err
	}
	if err := ch.Confirm(false); err != nil {
		return nil, errors.Join(err, ch.Close())
	}
	p := &publisher{
		conn: conn, ch: ch,
		batches:   make(chan *pubBatch),
		questions: make(chan func(*unrouted)),
		ended:     make(chan struct{}),
	}
	// Unbuffered, so that the library goes on to the next frame only when a
	// returned message was received: see markReturned.
	returns := ch.NotifyReturn(make(chan amqp091.Return))
	closes := ch.NotifyClose(make(chan *amqp091.Error, 1))
	go p.collect(returns, closes)
	go p.write()
	return p, nil
}

// alive tells whether the publisher is of use.
func (p *publisher) alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return p.conn.alive() && !p.ch.IsClosed()
	}
}

// collect receives returned messages until the channel ends.
func (p *publisher) collect(returns <-chan amqp091.Return, closes <-chan *amqp091.Error) {
	var all unrouted
	for {
		select {
		case r, ok := <-returns:
			if !ok {
				returns = nil
				continue
			}
			all.add(returnKey{r.RoutingKey, r.MessageId})
		case question := <-p.questions:
			all.sweep()
			question(&all)
		case err := <-closes:
			if err != nil {
				p.err = err
			}
			close(p.ended)
			return
		}
	}
}

// write publishes batches until the channel ends.
func (p *publisher) write() {
	for {
		select {
		case batch := <-p.batches:
			p.writeBatch(batch)
		case <-p.ended:
			return
		}
	}
}

// writeBatch publishes one batch, but for what its caller has withdrawn.
func (p *publisher) writeBatch(batch *pubBatch) {
	defer close(batch.written)
	// While the broker has blocked the connection it does not read from it, and
	// what was not sent is certainly not stored.
	flowing, _ := p.conn.flow()
	select {
	case <-flowing:
	case <-p.ended:
	}
	p.conn.socket.cork()
	defer p.conn.socket.uncork()
	for _, item := range batch.items {
		if !item.state.CompareAndSwap(pubQueued, pubWritten) {
			continue
		}
		item.confirm, item.refused = p.ch.PublishWithDeferredConfirm("", item.queue, true, false, item.message)
	}
}

// endedFor is why nothing can be sent any more.
func (p *publisher) endedFor() error {
	<-p.ended
	if p.err == nil {
		return errDown
	}
	return fmt.Errorf("%w: %w", errDown, p.err)
}

// ctxErr is the error of ctx, with what is known of the cause.
func (p *publisher) ctxErr(ctx context.Context) error {
	flowing, reason := p.conn.flow()
	select {
	case <-flowing:
		return ctx.Err()
	default:
		return fmt.Errorf("%w: the broker has blocked publishers: %s", ctx.Err(), reason)
	}
}
