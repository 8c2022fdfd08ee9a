package amqp

import (
	"context"
	"fmt"

	"github.com/batch-go/batch/internal/fault"
)

// publish stores messages, and says in their err what became of each.
func (b *base) publish(ctx context.Context, items []*publication) { b.publishEach(ctx, items, nil) }

// publishEach is publish which also calls each, unless that is nil, with items as the
// broker answers them. Those of them without an error are stored. What became of the
// others is known when it returns.
func (b *base) publishEach(ctx context.Context, items []*publication, each func([]*publication)) {
	// What comes after a message that turns out to be too large is not stored, through
	// no fault of its own, and is published again. Each round excludes such messages.
	const rounds = 5
	for round := 1; ; round++ {
		items = b.admitted(ctx, items)
		if len(items) == 0 {
			return
		}
		p, err := b.livePublisher(ctx)
		if err != nil {
			failAll(items, err)
			return
		}
		p.publish(ctx, items, each)
		if ctx.Err() != nil || round == rounds {
			return // the writer may still be at some of them, or they keep their errors
		}
		if items = b.spared(p, items); len(items) == 0 {
			return
		}
	}
}

// spared is the items that are to be published again, after the broker ended the
// channel because of another.
func (b *base) spared(p *publisher, items []*publication) []*publication {
	if !b.sizes.bound(p) {
		return nil
	}
	var again []*publication
	for _, item := range items {
		if fault.IsNotSent(item.err) {
			again = append(again, item.anew())
		}
	}
	return again
}

// admitted is the items that do no harm to others: it refuses what does not fit, and
// tries the largest on a channel of its own if that is larger than all before.
func (b *base) admitted(ctx context.Context, items []*publication) []*publication {
	var largest *publication
	refused := false
	for _, item := range items {
		if item.err = b.checkSize(item); item.err != nil {
			refused = true
		} else if largest == nil || len(item.message.Body) > len(largest.message.Body) {
			largest = item
		}
	}
	if largest != nil && !b.sizes.isKnown(len(largest.message.Body)) {
		return b.try(ctx, items, largest)
	}
	if !refused {
		return items
	}
	return without(items, nil)
}

// without is the items that have no error, but for one.
func without(items []*publication, done *publication) []*publication {
	left := make([]*publication, 0, len(items))
	for _, item := range items {
		if item != done && item.err == nil {
			left = append(left, item)
		}
	}
	return left
}

// try publishes the largest item on a channel of its own, and returns the others that
// are admitted.
func (b *base) try(ctx context.Context, items []*publication, largest *publication) []*publication {
	p, err := b.ownPublisher(ctx)
	if err != nil {
		failAll(without(items, nil), fault.NotSent{Err: err})
		return nil
	}
	p.publish(ctx, []*publication{largest}, nil)
	known := b.sizes.learn(p, largest)
	b.tasks.Go(p.endTrial)
	items = without(items, largest)
	if !known {
		failAll(items, fault.NotSent{Err: largest.err})
		return nil
	}
	return b.admitted(ctx, items)
}

// endTrial closes a publisher that ownPublisher has made. The broker answers when it has read all
// that was written.
func (p *publisher) endTrial() {
	_ = p.ch.Close()
	p.conn.trials.Add(-1)
}

// ownPublisher makes a publisher that the caller has to end by endTrial. It makes none while the
// broker takes no messages: one that has blocked a connection opens no channel either.
func (b *base) ownPublisher(ctx context.Context) (*publisher, error) {
	if b.awaitFlow(ctx) && ctx.Err() != nil {
		return nil, b.publisher.Load().ctxErr(ctx)
	}
	made, failed := make(chan *publisher), make(chan error, 1)
	b.tasks.Go(func() {
		conn, err := b.publishing.connection(ctx)
		var p *publisher
		if err == nil {
			p, err = newPublisher(conn)
			err = conn.explain(err)
		}
		if err != nil {
			failed <- err
			return
		}
		conn.trials.Add(1)
		select {
		case made <- p:
		case <-ctx.Done(): // nobody takes it
			p.endTrial()
		}
	})
	select {
	case p := <-made:
		return p, nil
	case err := <-failed:
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// checkSize refuses a message that the broker would end a channel or the connection
// for.
func (b *base) checkSize(item *publication) error {
	if n := propertiesSize(&item.message); n > b.room {
		return &sizeError{fmt.Errorf("the headers have %d bytes as sent, and %d is the limit", n, b.room), "see frame_max of the broker"}
	}
	if most := b.sizes.most.Load(); most > 0 && int64(len(item.message.Body)) > most {
		return &sizeError{fmt.Errorf("the body has %d bytes, and %d is the broker's limit", len(item.message.Body), most), "see max_message_size of the broker"}
	}
	return nil
}
