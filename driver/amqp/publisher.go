package amqp

import (
	"context"
	"errors"
	"fmt"
	"sync"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// publisher publishes on one channel in confirm mode, which lives as long as
// that channel. Any number of batches may be under way. A caller writes its own if that
// certainly does not block. Else one goroutine writes them, since a write may block for as
// long as the broker likes and a caller must not. Each caller waits for the confirms of
// its own.
type publisher struct {
	conn    *connection
	ch      *amqp091.Channel
	channel uint16 // the number of ch
	ledger  *ledger
	// batches is where the writer takes them from.
	batches chan *pubBatch
	// ended is closed when the channel has ended, for err.
	ended chan struct{}
	err   error

	writing sync.Mutex // guards following, and is held while writing
	// frames are those to be written next, and framed the items that they are of.
	frames []byte
	framed []*publication
	// broken tells that a write has failed, and holds that the tap is held for writing.
	broken, holds bool
}

// newPublisher opens a channel in confirm mode.
func newPublisher(conn *connection) (*publisher, error) {
	ch, err := conn.client.Channel()
	if err != nil {
		return nil, err
	}
	p := &publisher{
		conn: conn, ch: ch, ledger: newLedger(),
		batches: make(chan *pubBatch),
		ended:   make(chan struct{}),
	}
	if p.channel, err = conn.tap.confirm(ch, p.ledger); err != nil {
		return nil, errors.Join(err, ch.Close())
	}
	closes := ch.NotifyClose(make(chan *amqp091.Error, 1))
	go p.run(closes)
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

// run writes batches until the channel ends.
func (p *publisher) run(closes <-chan *amqp091.Error) {
	go func() {
		if err := <-closes; err != nil {
			p.err = err
		}
		close(p.ended)
	}()
	for {
		select {
		case batch := <-p.batches:
			p.awaitFlow()
			p.writing.Lock()
			p.write(batch)
			p.writing.Unlock()
			batch.written <- struct{}{}
		case <-p.ended:
			return
		}
	}
}

// awaitFlow waits until the broker takes messages. While it has blocked the connection it
// does not read from it, and what was not sent is certainly not stored.
func (p *publisher) awaitFlow() {
	flowing, _ := p.conn.flow()
	select {
	case <-flowing:
	case <-p.ended:
	}
}

// smallEnough is how many bytes a system takes of a connection without waiting for the
// other side, at the least.
const smallEnough = 16 << 10

// writeNow writes a batch on its caller's goroutine, if that does not block: nobody else writes,
// nor a large message, and what the broker has not answered and the batch are so little that the
// system has room for it.
func (p *publisher) writeNow(batch *pubBatch) bool {
	if p.conn.isBlocked() || !p.writing.TryLock() {
		return false
	}
	defer p.writing.Unlock()
	tap := p.conn.tap
	if !tap.writing.TryLock() {
		return false
	}
	defer tap.writing.Unlock()
	if p.conn.trials.Load() > 0 {
		return false
	}
	size := p.ledger.unanswered()
	for _, item := range batch.items {
		size += propertiesSize(&item.message) + len(item.message.Body) + len(item.queue) + 64
		if size > smallEnough {
			return false
		}
	}
	p.holds = true
	p.write(batch)
	p.holds = false
	return true
}

// write publishes one batch, but for what its caller has withdrawn. p.writing must be held.
func (p *publisher) write(batch *pubBatch) {
	for _, item := range batch.items {
		switch item.batch = batch; {
		case !item.state.CompareAndSwap(pubQueued, pubWritten):
		case p.broken:
			item.refuse(amqp091.ErrClosed)
		default:
			p.frame(item)
		}
	}
	p.flush()
	if cap(p.frames) > 4*corkSize {
		p.frames = nil
	}
}

// frame makes the frames of an item, and writes them when they are many. Nothing may come
// between those of one message on their channel, such as an answer to the broker's end of it.
func (p *publisher) frame(item *publication) {
	start := len(p.frames)
	frames, err := appendPublish(p.frames, p.channel, item.queue, &item.message)
	if err != nil {
		item.refuse(err)
		return
	}
	p.frames = frames
	item.size = len(frames) - start + len(item.message.Body)
	p.ledger.add(item)
	p.framed = append(p.framed, item)
	most := len(item.message.Body)
	if frame := p.conn.client.Config.FrameSize; frame > 0 {
		most = min(most, max(frame-frameOverhead, 1))
	}
	for body := item.message.Body; len(body) > 0; body = body[most:] {
		most = min(most, len(body))
		start := len(p.frames)
		p.frames = beginFrame(p.frames, bodyFrame, p.channel)
		p.frames = endFrame(append(p.frames, body[:most]...), start)
	}
	if len(p.frames) >= corkSize {
		p.flush()
	}
}

// flush writes the frames. If the channel has ended, the broker does not read them. If it
// fails otherwise, the connection is at its end, and with it the channel.
func (p *publisher) flush() {
	if len(p.frames) > 0 {
		publish := p.conn.tap.publish
		if p.holds {
			publish = p.conn.tap.publishHeld
		}
		err := publish(p.channel, p.ledger, p.frames)
		switch {
		case errors.Is(err, amqp091.ErrClosed):
			for _, item := range p.framed {
				item.refuse(err)
			}
		case err != nil:
			p.broken = true
			p.conn.cut()
		}
	}
	clear(p.framed)
	p.frames, p.framed = p.frames[:0], p.framed[:0]
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
