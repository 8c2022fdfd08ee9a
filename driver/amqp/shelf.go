package amqp

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// shelf is the dead letters of a queue in the hands of one call. AMQP can only
// look at messages by taking them, and what one has taken others do not see; so
// a call takes all of them, one call at a time on the whole broker, and then
// gives back what it does not remove.
//
// Two things make that sound. The lock is an exclusive queue, which the broker
// removes when the connection ends that declared it. And the end of the dead
// letters is not told by a count, which may be old, but by a marker that the call
// publishes itself: what was given back before, by whomever, comes before it.
type shelf struct {
	h      *handle
	n      *names
	link   *link
	ch     *amqp091.Channel
	letter <-chan amqp091.Delivery
	marker string
	marked bool // the marker was taken out
	unlock func()
}

// lockPause is how long a call waits before it tries again to get the lock.
const lockPause = 20 * time.Millisecond

// withShelf runs use on the dead letters of a queue.
func (h *handle) withShelf(ctx context.Context, n *names, use func(s *shelf) error) error {
	free, err := h.shelves.lock(ctx, n.queue)
	if err != nil {
		return notSent{err}
	}
	return h.await(ctx, func() error {
		defer free()
		s, err := h.openShelf(ctx, n)
		if err != nil {
			return err
		}
		err = use(s)
		if e := s.close(); err == nil {
			err = e
		}
		return err
	})
}

func (h *handle) openShelf(ctx context.Context, n *names) (*shelf, error) {
	l, err := h.sub.link(ctx)
	if err != nil {
		return nil, err
	}
	s := &shelf{h: h, n: n, link: l}
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	// From here on ctx does not count, and who waited may have left: a marker that
	// is on its way has to be taken out again.
	if err := s.take(h.life); err != nil {
		s.unlock()
		return nil, lostCall(l, err)
	}
	return s, nil
}

// lock waits for the lock.
func (s *shelf) lock(ctx context.Context) error {
	pause := time.NewTicker(lockPause)
	defer pause.Stop()
	for {
		ch, err := s.link.conn.Channel()
		if err != nil {
			return notSent{lostCall(s.link, err)}
		}
		_, err = ch.QueueDeclare(s.n.lock, false, true, true, false, nil)
		if err == nil {
			s.unlock = func() {
				_, _ = ch.QueueDelete(s.n.lock, false, false, false)
				_ = ch.Close()
			}
			return nil
		}
		_ = ch.Close()
		if !isLocked(err) {
			return notSent{lostCall(s.link, err)}
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return notSent{ctx.Err()}
		}
	}
}

// take publishes the marker and begins to take what is before it.
func (s *shelf) take(ctx context.Context) error {
	s.marker = rand.Text()
	item := &publication{queue: s.n.dead, message: amqp091.Publishing{
		MessageId: s.marker, DeliveryMode: amqp091.Persistent, Headers: amqp091.Table{hMarker: true},
	}}
	if s.h.publish(ctx, []*publication{item}); item.err != nil {
		return item.err
	}
	ch, err := s.link.conn.Channel()
	if err != nil {
		return err
	}
	s.ch = ch
	s.letter, err = subscribe(ch, s.n.dead, "batch", 0, true) // as many as there are
	if err != nil {
		_ = ch.Close()
	}
	return err
}

// next returns the next dead letter, or nil when there are no more.
func (s *shelf) next(ctx context.Context) (*amqp091.Delivery, error) {
	for {
		select {
		case d, ok := <-s.letter:
			if !ok {
				return nil, errCancelled
			}
			if _, marker := d.Headers[hMarker]; !marker {
				return &d, nil
			}
			// Those of others are left from calls that did not end well.
			if err := s.ch.Ack(d.DeliveryTag, false); err != nil {
				return nil, err
			}
			if d.MessageId == s.marker {
				s.marked = true
				return nil, nil
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// remove removes dead letters for good.
func (s *shelf) remove(tags []uint64) error {
	s.link.wire.cork()
	defer s.link.wire.uncork()
	for _, tag := range tags {
		if err := s.ch.Ack(tag, false); err != nil {
			return err
		}
	}
	return nil
}

// close takes what is left, with the marker, and gives everything back. It waits
// until the broker has it, so that the next one to get the lock sees all.
func (s *shelf) close() error {
	defer s.unlock()
	var err error
	for d := new(amqp091.Delivery); d != nil && err == nil && !s.marked; {
		d, err = s.next(s.h.life)
	}
	if e := s.ch.Cancel("batch", false); err == nil {
		err = e
	}
	for range s.letter {
		continue // came after the marker
	}
	if err == nil {
		// Tag 0 is all that is held. As of 4.3 this does not count as a lost
		// holder, as to close would.
		err = s.ch.Nack(0, true, true)
	}
	if err == nil {
		err = s.ch.Qos(1, 0, false) // all of it was processed
	}
	_ = s.ch.Close()
	return lostCall(s.link, err)
}

// keyed is a lock for each of some names.
type keyed struct {
	mu    sync.Mutex
	locks map[string]chan struct{}
}

// lock waits until nobody has the lock of name, or ctx ends.
func (k *keyed) lock(ctx context.Context, name string) (unlock func(), err error) {
	k.mu.Lock()
	if k.locks == nil {
		k.locks = make(map[string]chan struct{})
	}
	l := k.locks[name]
	if l == nil {
		l = make(chan struct{}, 1)
		k.locks[name] = l
	}
	k.mu.Unlock()
	select {
	case l <- struct{}{}:
		return func() { <-l }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
