package amqp

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
	"github.com/batch-go/batch/internal/lifecycle"
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
	base  *base
	names *names
	conn  *connection
	ch    *amqp091.Channel
	// taken is what the current consumer, the serial-th, brings, and out how much of
	// that is not acknowledged: see consume. Its delivery tags are those after before,
	// and last is the last of them.
	taken        <-chan amqp091.Delivery
	serial       int
	out          int
	before, last uint64
	held         int // dead letters taken and not removed
	marker       string
	marked       bool // the marker was taken out
	lost         bool // the marker does not come
	silent       *time.Timer
	unlock       func()
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
	br := &browser{base: b, names: n, conn: conn, silent: time.NewTimer(markerTime)}
	if err := br.lock(ctx); err != nil {
		return nil, err
	}
	err = br.mark(ctx)
	if err == nil {
		err = br.take()
	}
	if err != nil {
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

// mark publishes the marker. One that may be on its way when ctx ends is no error: it
// has to be taken out again, whether or not the caller still waits.
func (br *browser) mark(ctx context.Context) error {
	br.marker = rand.Text()
	item := &publication{queue: br.names.dead, message: amqp091.Publishing{
		// The lowest priority: what a policy brought here has that of its job.
		MessageId: br.marker, DeliveryMode: amqp091.Persistent, Priority: basePriority, Headers: amqp091.Table{hMarker: true},
	}}
	br.base.store(ctx, br.names, []*publication{item})
	if item.err != nil && (ctx.Err() == nil || faults.Verdict(item.err).Fate == driver.FateNotStored) {
		return item.err
	}
	return nil
}

// take begins to take what is before the marker.
func (br *browser) take() error {
	ch, err := br.conn.client.Channel()
	if err != nil {
		return err
	}
	br.ch = ch
	if err = br.consume(); err != nil {
		_ = ch.Close()
	}
	return err
}

// deadPrefetch is how many dead letters one consumer takes. More would have to fit into
// memory at once.
const deadPrefetch = 2000

// consume begins a consumer. A quorum queue hands no more than its prefetch to one, and
// takes none at all for 2000 (rabbit_quorum_queue.erl); and what it has handed out stays
// with the channel when the consumer is cancelled. So one follows the other until all
// dead letters are taken, each when the last has all that it can: two at a time would
// bring them out of order.
func (br *browser) consume() (err error) {
	br.serial++
	br.out, br.before = 0, br.last
	br.taken, err = consumeFrom(br.ch, br.names.dead, br.tag(), deadPrefetch, true)
	return err
}

// tag names the current consumer. The broker takes back what consumers held in the order
// of their tags.
func (br *browser) tag() string { return fmt.Sprintf("batch-%09d", br.serial) }

// cancel ends the current consumer. What it brought is held further on.
func (br *browser) cancel() error {
	err := br.ch.Cancel(br.tag(), false)
	for range br.taken {
		continue // came after the marker
	}
	return err
}

// markerTime is how long nothing comes before the marker is given up: somebody, or a
// policy, has removed it from the queue.
const markerTime = 10 * time.Second

// next returns the next dead letter, or nil when there are no more.
func (br *browser) next(ctx context.Context) (*amqp091.Delivery, error) {
	for {
		if br.out == deadPrefetch {
			if err := cmp.Or(br.cancel(), br.consume()); err != nil {
				return nil, err
			}
		}
		br.silent.Reset(markerTime)
		select {
		case d, ok := <-br.taken:
			if !ok {
				return nil, errCancelled
			}
			br.out++
			br.last = d.DeliveryTag
			if _, marker := d.Headers[hMarker]; !marker {
				br.held++
				return &d, nil
			}
			// Those of others are left from calls that did not end well.
			if err := br.ch.Ack(d.DeliveryTag, false); err != nil {
				return nil, err
			}
			br.out--
			if d.MessageId == br.marker {
				br.marked = true
				return nil, nil
			}
		case <-br.silent.C:
			br.lost = true
			return nil, errSilent
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// errSilent: a look through the dead letters did not come to their end.
var errSilent = errors.New("the end of the dead letters does not come: somebody removed a message of batch's from their queue, or the broker does not answer")

// remove removes dead letters for good.
func (br *browser) remove(tags []uint64) error {
	br.conn.socket.cork()
	defer br.conn.socket.uncork()
	for _, tag := range tags {
		if err := br.ch.Ack(tag, false); err != nil {
			return err
		}
		if tag > br.before {
			br.out--
		}
		br.held--
	}
	return nil
}

// close takes what is left, with the marker, and gives everything back. It waits
// until the broker has it, so that the next one to get the lock sees all.
func (br *browser) close() error {
	defer br.unlock()
	defer br.silent.Stop()
	var err error
	for d := new(amqp091.Delivery); d != nil && err == nil && !br.marked && !br.lost; {
		d, err = br.next(br.base.life)
	}
	if e := br.cancel(); err == nil {
		err = e
	}
	if err == nil {
		// Tag 0 is all that is held. As of 4.3 this does not count as a lost
		// holder, as to close would.
		err = br.ch.Nack(0, true, true)
	}
	if err == nil {
		err = br.ch.Qos(1, 0, false) // all of it was processed
	}
	if err == nil {
		br.awaitReturn()
	}
	_ = br.ch.Close()
	return br.conn.explain(err)
}

// awaitReturn waits until the queue counts what was given back, so that a Depth after
// this does. It is a matter of milliseconds, and bounded as a policy may remove some.
func (br *browser) awaitReturn() {
	for range 50 {
		if q, err := lookUp(br.ch, br.names.dead); err != nil || q.Messages >= br.held {
			return
		}
		if lifecycle.Sleep(br.base.life, lockPause) != nil {
			return
		}
	}
}
