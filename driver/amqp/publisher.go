package amqp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/internal/fault"
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
	questions chan func(returned map[returnKey]int)
	// ended is closed when the channel has ended, for err.
	ended chan struct{}
	err   error
}

// returnKey identifies a returned message well enough: of two messages with one
// ID for one queue that does not exist, both are returned.
type returnKey struct{ queue, id string }

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
		questions: make(chan func(map[returnKey]int)),
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
	returned := make(map[returnKey]int)
	for {
		select {
		case r, ok := <-returns:
			if !ok {
				returns = nil
				continue
			}
			returned[returnKey{r.RoutingKey, r.MessageId}]++
		case question := <-p.questions:
			question(returned)
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

// publish publishes items and waits until the broker has confirmed or refused
// each, or the channel or ctx has ended. What became of them is in their err.
func (p *publisher) publish(ctx context.Context, items []*publication) {
	batch := &pubBatch{items: items, written: make(chan struct{})}
	select {
	case p.batches <- batch:
	case <-p.ended:
		failAll(items, fault.NotSent{Err: p.endedFor()})
		return
	case <-ctx.Done():
		failAll(items, fault.NotSent{Err: p.ctxErr(ctx)})
		return
	}
	select {
	case <-batch.written:
	case <-ctx.Done():
		// The writer is stuck, or has not come so far. It skips what it has not
		// begun.
		for _, item := range items {
			if item.state.CompareAndSwap(pubQueued, pubWithdrawn) {
				item.err = fault.NotSent{Err: p.ctxErr(ctx)}
			} else {
				item.err = p.ctxErr(ctx)
			}
		}
		return
	}
	// The last one first: the broker confirms about in their order, so that this
	// waits once and not for each.
	for i := len(items) - 1; i >= 0; i-- {
		p.awaitConfirm(ctx, items[i])
	}
	p.markReturned(items)
}

// failAll gives all items the same error.
func failAll(items []*publication, err error) {
	for _, item := range items {
		item.err = err
	}
}

// awaitConfirm waits for the confirm of one written item.
func (p *publisher) awaitConfirm(ctx context.Context, item *publication) {
	if item.confirm == nil {
		// The library checks the channel's state, then writes: an error says that
		// it had ended, or that the socket broke.
		item.err = p.unwritten(item.refused)
		return
	}
	select {
	case <-item.confirm.Done():
	default:
		select {
		case <-item.confirm.Done():
		case <-p.ended:
			// All confirms that came before are known by now, but the library
			// completes the others at about this time, in no order.
			if !item.confirm.Acked() {
				item.err = p.lost(item)
				return
			}
		case <-ctx.Done():
			item.err = p.ctxErr(ctx)
			return
		}
	}
	if item.confirm.Acked() {
		return
	}
	if p.ch.IsClosed() {
		item.err = p.lost(item)
		return
	}
	item.err = errNacked
}

// unwritten is the error of an item for which publishing failed at once.
func (p *publisher) unwritten(err error) error {
	if errors.Is(err, amqp091.ErrClosed) {
		return fault.NotSent{Err: p.endedFor()}
	}
	return fmt.Errorf("%w: %w", errUnconfirmed, err)
}

// lost is the error of an item that was written to a channel that then ended. If
// the broker ended it because of the item, then that is not stored.
func (p *publisher) lost(item *publication) error {
	<-p.ended
	var reply *amqp091.Error
	if errors.As(p.err, &reply) && reply.Server {
		_, sizes, _ := strings.Cut(reply.Reason, "message size ")
		var size, most int
		if n, _ := fmt.Sscanf(sizes, "%d is larger than configured max size %d", &size, &most); n == 2 && size == len(item.message.Body) {
			return reply
		}
	}
	if p.err == nil {
		return errUnconfirmed
	}
	return fmt.Errorf("%w: %w", errUnconfirmed, p.err)
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

// markReturned finds the items that the broker returned: it does so before it
// confirms them, https://www.rabbitmq.com/docs/confirms#when-publishes-are-confirmed.
// The library passes frames on in their order, and the channel of returned
// messages is not buffered; so when a confirm was seen, collect has received the
// returned message that came before it, and answers questions after that.
func (p *publisher) markReturned(items []*publication) {
	done := make(chan struct{})
	question := func(returned map[returnKey]int) {
		defer close(done)
		if len(returned) == 0 {
			return
		}
		for _, item := range items {
			key := returnKey{item.queue, item.message.MessageId}
			n := returned[key]
			if n == 0 || item.confirm == nil {
				continue
			}
			if n == 1 {
				delete(returned, key)
			} else {
				returned[key] = n - 1
			}
			if item.err == nil {
				item.err = errReturned
			}
		}
	}
	select {
	case p.questions <- question:
		<-done
	case <-p.ended:
		// Nobody answers any more. A message that was confirmed may have been
		// returned before.
		for _, item := range items {
			if item.err == nil {
				item.err = errUnconfirmed
			}
		}
	}
}
