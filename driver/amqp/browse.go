package amqp

import (
	"context"
	"crypto/rand"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/internal/fault"
)

// browser looks through the dead letters of a queue for one call. AMQP can only
// look at messages by taking them, and what one client has taken others do not
// see; so a call takes all of them, one call at a time on the whole broker, and
// then gives back what it does not remove.
//
// Two things make that sound. The lock is an exclusive queue, which the broker
// removes when the connection ends that declared it. And the end of the dead
// letters is not told by a count, which may be old, but by a marker that the call
// publishes itself: what any call gave back before comes before it.
type browser struct {
	base   *base
	names  *names
	conn   *connection
	ch     *amqp091.Channel
	taken  <-chan amqp091.Delivery
	marker string
	marked bool // the marker was taken out
	unlock func()
}

// lockPause is how long a call waits before it tries again to get the lock.
const lockPause = 20 * time.Millisecond

// browse runs use on the dead letters of a queue. Calls on this driver take turns
// here, and only the one whose turn it is asks for the broker's lock.
func (b *base) browse(ctx context.Context, n *names, use func(br *browser) error) error {
	shared, _ := b.browsing.LoadOrStore(n.queue, make(chan struct{}, 1))
	turn := shared.(chan struct{})
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return fault.NotSent{Err: ctx.Err()}
	}
	return b.await(ctx, func() error {
		defer func() { <-turn }()
		br, err := b.newBrowser(ctx, n)
		if err != nil {
			return err
		}
		err = use(br)
		if e := br.close(); err == nil {
			err = e
		}
		return err
	})
}

// newBrowser gets the lock and begins to take dead letters.
func (b *base) newBrowser(ctx context.Context, n *names) (*browser, error) {
	conn, err := b.consuming.connection(ctx)
	if err != nil {
		return nil, err
	}
	br := &browser{base: b, names: n, conn: conn}
	if err := br.lock(ctx); err != nil {
		return nil, err
	}
	// From here on ctx does not count, and the caller may have returned: a marker
	// that is on its way has to be taken out again.
	if err := br.take(b.life); err != nil {
		br.unlock()
		return nil, conn.explain(err)
	}
	return br, nil
}

// lock waits for the lock.
func (br *browser) lock(ctx context.Context) error {
	pause := time.NewTicker(lockPause)
	defer pause.Stop()
	for {
		ch, err := br.conn.client.Channel()
		if err != nil {
			return fault.NotSent{Err: br.conn.explain(err)}
		}
		if _, err = lookUp(ch, br.names.main); err == nil { // of a queue that does not exist there is no lock either
			_, err = ch.QueueDeclare(br.names.lock, false, true, true, false, nil)
		}
		if err == nil {
			br.unlock = func() {
				_, _ = ch.QueueDelete(br.names.lock, false, false, false)
				_ = ch.Close()
			}
			return nil
		}
		_ = ch.Close()
		if !isLocked(err) {
			return fault.NotSent{Err: br.conn.explain(err)}
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return fault.NotSent{Err: ctx.Err()}
		}
	}
}

// take publishes the marker and begins to take what is before it.
func (br *browser) take(ctx context.Context) error {
	br.marker = rand.Text()
	item := &publication{queue: br.names.dead, message: amqp091.Publishing{
		// The lowest priority: what a policy brought here has that of its job.
		MessageId: br.marker, DeliveryMode: amqp091.Persistent, Priority: basePriority, Headers: amqp091.Table{hMarker: true},
	}}
	if br.base.publish(ctx, []*publication{item}); item.err != nil {
		return item.err
	}
	ch, err := br.conn.client.Channel()
	if err != nil {
		return err
	}
	br.ch = ch
	br.taken, err = consumeFrom(ch, br.names.dead, "batch", 0, true) // as many as there are
	if err != nil {
		_ = ch.Close()
	}
	return err
}

// next returns the next dead letter, or nil when there are no more.
func (br *browser) next(ctx context.Context) (*amqp091.Delivery, error) {
	for {
		select {
		case d, ok := <-br.taken:
			if !ok {
				return nil, errCancelled
			}
			if _, marker := d.Headers[hMarker]; !marker {
				return &d, nil
			}
			// Those of others are left from calls that did not end well.
			if err := br.ch.Ack(d.DeliveryTag, false); err != nil {
				return nil, err
			}
			if d.MessageId == br.marker {
				br.marked = true
				return nil, nil
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// remove removes dead letters for good.
func (br *browser) remove(tags []uint64) error {
	br.conn.socket.cork()
	defer br.conn.socket.uncork()
	for _, tag := range tags {
		if err := br.ch.Ack(tag, false); err != nil {
			return err
		}
	}
	return nil
}

// close takes what is left, with the marker, and gives everything back. It waits
// until the broker has it, so that the next one to get the lock sees all.
func (br *browser) close() error {
	defer br.unlock()
	var err error
	for d := new(amqp091.Delivery); d != nil && err == nil && !br.marked; {
		d, err = br.next(br.base.life)
	}
	if e := br.ch.Cancel("batch", false); err == nil {
		err = e
	}
	for range br.taken {
		continue // came after the marker
	}
	if err == nil {
		// Tag 0 is all that is held. As of 4.3 this does not count as a lost
		// holder, as to close would.
		err = br.ch.Nack(0, true, true)
	}
	if err == nil {
		err = br.ch.Qos(1, 0, false) // all of it was processed
	}
	_ = br.ch.Close()
	return br.conn.explain(err)
}
