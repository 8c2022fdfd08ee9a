package amqp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/internal/fault"
)

// publish publishes items and waits until the broker has confirmed or refused
// each, or the channel or ctx has ended. What became of them is in their err. It
// calls each, unless that is nil, with those whose fate is known, as it becomes known:
// with all of them, unless ctx or the channel ends before they were written.
func (p *publisher) publish(ctx context.Context, items []*publication, each func([]*publication)) {
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
		go p.disown(batch) // at most one batch is with the writer
		return
	}
	if each != nil {
		p.awaitEach(ctx, items, each)
		return
	}
	// The last one first: the broker confirms about in their order, so that this
	// waits once and not for each.
	for i := len(items) - 1; i >= 0; i-- {
		p.awaitConfirm(ctx, items[i])
	}
	p.markReturned(ctx, items)
	p.spare(items)
}

// awaitEach waits for the confirms, and passes on what is confirmed by then each time:
// one of the broker's queues may be much later than another.
func (p *publisher) awaitEach(ctx context.Context, items []*publication, each func([]*publication)) {
	for left := slices.Clone(items); len(left) > 0; {
		p.awaitConfirm(ctx, left[0])
		answered := []*publication{left[0]}
		waiting := left[:0]
		for _, item := range left[1:] {
			if item.isAnswered() {
				p.awaitConfirm(ctx, item)
				answered = append(answered, item)
			} else {
				waiting = append(waiting, item)
			}
		}
		p.markReturned(ctx, answered)
		each(answered)
		left = waiting
	}
	p.spare(items)
}

// isAnswered tells whether nothing more is to come about a written item.
func (item *publication) isAnswered() bool {
	if item.confirm == nil {
		return true
	}
	select {
	case <-item.confirm.Done():
		return true
	default:
		return false
	}
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
		if !p.confirmed.Load() {
			p.confirmed.Store(true)
		}
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
	reply, size, _ := p.tooLarge()
	if reply != nil && size == len(item.message.Body) {
		return reply
	}
	if p.err == nil {
		return errUnconfirmed
	}
	if isRefused(p.err) {
		if !p.confirmed.Load() {
			return p.err // it refuses all, and nothing came before
		}
		return fmt.Errorf("%w: %w", errForbidden, p.err)
	}
	return fmt.Errorf("%w: %w", errUnconfirmed, p.err)
}

// tooLarge is the broker's reply if it has ended the channel because a message was too
// large, with the size of that and the largest that it takes; else nil.
func (p *publisher) tooLarge() (reply *amqp091.Error, size, most int) {
	if !errors.As(p.err, &reply) || !reply.Server {
		return nil, 0, 0
	}
	_, sizes, _ := strings.Cut(reply.Reason, "message size ")
	if n, _ := fmt.Sscanf(sizes, "%d is larger than configured max size %d", &size, &most); n != 2 || size < 1 || most < 0 {
		return nil, 0, 0
	}
	return reply, size, most
}

// spare marks the items that came after one for which the broker ended the channel:
// from there on it reads nothing that is for the channel, so that these are certainly
// not stored.
func (p *publisher) spare(items []*publication) {
	select {
	case <-p.ended:
	default:
		return
	}
	reply, _, most := p.tooLarge()
	if reply == nil {
		return
	}
	var first uint64
	for _, item := range items {
		if item.confirm == nil || item.confirm.Acked() {
			continue
		}
		switch tag := item.confirm.DeliveryTag; {
		case first > 0 && tag > first:
			item.err = fault.NotSent{Err: fmt.Errorf("%w: %w", errDown, p.err)}
		case first == 0 && len(item.message.Body) > most:
			first, item.err = tag, reply
		}
	}
}

// key is what identifies the item among returned messages.
func (item *publication) key() returnKey { return returnKey{item.queue, item.message.MessageId} }

// markReturned finds the items that the broker returned: it does so before it
// confirms them, https://www.rabbitmq.com/docs/confirms#when-publishes-are-confirmed.
// The library passes frames on in their order, and the channel of returned
// messages is not buffered; so when a confirm was seen, collect has received the
// returned message that came before it, and answers questions after that. Of those items
// that ctx has left without an answer nobody will ask again.
func (p *publisher) markReturned(ctx context.Context, items []*publication) {
	done := make(chan struct{})
	question := func(all *unrouted) {
		defer close(done)
		if len(all.counts) == 0 && ctx.Err() == nil {
			return
		}
		for _, item := range items {
			switch {
			case item.confirm == nil:
			case !item.isAnswered():
				all.leave(item.key(), item.confirm.Done())
			case all.take(item.key()) && item.err == nil:
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

// disown leaves a batch whose caller gave up before it was written.
func (p *publisher) disown(batch *pubBatch) {
	<-batch.written
	question := func(all *unrouted) {
		for _, item := range batch.items {
			if item.confirm != nil {
				all.leave(item.key(), item.confirm.Done())
			}
		}
	}
	select {
	case p.questions <- question:
	case <-p.ended:
	}
}
