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
	batch := newBatch(items, each != nil)
	if !p.writeNow(batch) && !p.handOver(ctx, batch) {
		return
	}
	if each != nil {
		p.awaitEach(ctx, batch, each)
	} else {
		for p.ledger.awaits(batch) && p.awaitAnswer(ctx, batch) {
			continue
		}
		for _, item := range items {
			item.err = p.fate(ctx, item)
		}
	}
	p.spare(items)
}

// handOver has the writer write a batch, and tells whether it has, before ctx or the
// channel ended.
func (p *publisher) handOver(ctx context.Context, batch *pubBatch) bool {
	batch.written = make(chan struct{}, 1)
	select {
	case p.batches <- batch:
	case <-p.ended:
		failAll(batch.items, fault.NotSent{Err: p.endedFor()})
		return false
	case <-ctx.Done():
		failAll(batch.items, fault.NotSent{Err: p.ctxErr(ctx)})
		return false
	}
	select {
	case <-batch.written:
		return true
	case <-ctx.Done():
	}
	// The writer is stuck, or has not come so far. It skips what it has not begun.
	for _, item := range batch.items {
		item.err = p.ctxErr(ctx)
		if item.state.CompareAndSwap(pubQueued, pubWithdrawn) {
			item.err = fault.NotSent{Err: item.err}
		}
	}
	return false
}

// awaitAnswer waits until the broker answers, and tells whether it has, before ctx or the
// channel ended.
func (p *publisher) awaitAnswer(ctx context.Context, batch *pubBatch) bool {
	select {
	case <-batch.answered:
		return true
	case <-p.ended:
	case <-ctx.Done():
	}
	return false
}

// awaitEach waits for the answers, and passes on those that have come each time: one of
// the broker's queues may be much later than another.
func (p *publisher) awaitEach(ctx context.Context, batch *pubBatch, each func([]*publication)) {
	waits := true
	for left := slices.Clone(batch.items); len(left) > 0; {
		answered := make([]*publication, 0, len(left))
		waiting := left[:0]
		for _, item := range left {
			if waits && !item.isAnswered() {
				waiting = append(waiting, item)
				continue
			}
			item.err = p.fate(ctx, item)
			answered = append(answered, item)
		}
		if len(answered) > 0 {
			each(answered)
		}
		if left = waiting; len(left) > 0 {
			waits = p.awaitAnswer(ctx, batch)
		}
	}
}

// fate is what became of an item that the writer is through with: nil if it is stored. If
// it is not answered, ctx or the channel has ended.
func (p *publisher) fate(ctx context.Context, item *publication) error {
	switch item.state.Load() {
	case pubAcked:
		return nil
	case pubNacked:
		return errNacked
	case pubReturned:
		return errReturned
	case pubRefused:
		return p.unwritten(item.refused)
	}
	select {
	case <-p.ended: // all answers that came before are known by now
		return p.lost(item)
	default:
		return p.ctxErr(ctx)
	}
}

// unwritten is the error of an item that was not written: the channel had ended, or it
// cannot be put into AMQP's form.
func (p *publisher) unwritten(err error) error {
	if errors.Is(err, amqp091.ErrClosed) {
		return fault.NotSent{Err: p.endedFor()}
	}
	return &sizeError{err, ""}
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
		if !p.ledger.hasStored() {
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
		if item.state.Load() != pubWritten {
			continue
		}
		switch tag := item.tag; {
		case first > 0 && tag > first:
			item.err = fault.NotSent{Err: fmt.Errorf("%w: %w", errDown, p.err)}
		case first == 0 && len(item.message.Body) > most:
			first, item.err = tag, reply
		}
	}
}
