package amqp

import (
	"context"
	"errors"
	"fmt"
	"sync"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
)

// unacked is how long the broker lets a delivery be held, in ms: 40 days, more
// than any job runs. By default it takes a job back after 30 minutes, and nothing
// that a consumer can do extends that. The argument of a consumer is above all
// other settings: https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout
const unacked = int64(40 * 24 * 3600 * 1000)

// session is the channel of a consumer while it lives. A receipt belongs to its
// session, so that a delivery tag never acknowledges what came later on another
// channel.
type session struct {
	c       *consumer
	ch      *amqp091.Channel
	link    *link
	cancels <-chan string
	drained chan struct{} // closed when no more deliveries come
	ended   chan struct{} // closed when it has ended, for err

	writing sync.Mutex // held while settling: frames go out in the order planned
	asking  sync.Mutex // held during requests that have an answer: the library mixes up two

	mu sync.Mutex // guards following
	// waiting are deliveries not yet received, by level, highest first; queued
	// is how many.
	waiting [levelCount][]*driver.Delivery
	queued  int
	// arrived is signalled when there are some.
	arrived chan struct{}
	// held are the receipts in the order of their tags, from head on; those
	// before are settled.
	held []*receipt
	head int
	over bool
	err  error

	tasks sync.WaitGroup
}

const levelCount = int(driver.Critical-driver.Trivial) + 1

// receipt is a delivery as its session knows it.
type receipt struct {
	s   *session
	tag uint64
	// state is guarded by s.mu.
	state receiptState
	// deliveries counts this one in, and losses those since the last settlement.
	deliveries int
}

type receiptState uint8

const (
	held     receiptState = iota // by the consumer
	settling                     // a Settle works on it
	settled
)

// newSession opens a channel and consumes from the queue.
func newSession(c *consumer, l *link) (*session, error) {
	ch, err := l.conn.Channel()
	if err != nil {
		return nil, err
	}
	s := &session{c: c, ch: ch, link: l, drained: make(chan struct{}), ended: make(chan struct{}), arrived: make(chan struct{}, 1)}
	s.cancels = ch.NotifyCancel(make(chan string, 1))
	closes := ch.NotifyClose(make(chan *amqp091.Error, 1))
	deliveries, err := subscribe(ch, c.n.main, c.prefetch)
	if err != nil {
		_ = ch.Close()
		return nil, err
	}
	s.tasks.Go(func() { s.pump(deliveries, closes) })
	return s, nil
}

// consumerTag names the one consumer of each channel.
const consumerTag = "batch"

// subscribe consumes from a queue with manual acknowledgement.
func subscribe(ch *amqp091.Channel, queue string, prefetch int) (<-chan amqp091.Delivery, error) {
	if err := ch.Qos(prefetch, 0, false); err != nil {
		return nil, err
	}
	return ch.Consume(queue, consumerTag, false, false, false, false, amqp091.Table{"x-consumer-timeout": unacked})
}

func (s *session) alive() bool {
	select {
	case <-s.ended:
		return false
	default:
		return !s.ch.IsClosed()
	}
}

// pump takes in what the broker pushes, until the channel or the consumer ends.
func (s *session) pump(deliveries <-chan amqp091.Delivery, closes <-chan *amqp091.Error) {
	for d := range deliveries {
		s.admit(&d)
	}
	close(s.drained)
	// The library closes the deliveries when the channel ends, or the broker or
	// this side cancels the consumer; the notice of the former came before. It
	// closes cancels, with nothing in it, when the channel ends.
	if _, ok := <-s.cancels; ok {
		s.end(errCancelled)
		_ = s.ch.Close()
		return
	}
	if err := <-closes; err != nil {
		s.end(fmt.Errorf("%w: %w", errUnconfirmed, err))
	} else {
		s.end(errClosed)
	}
}

// end marks the session as over: all that it held is lost.
func (s *session) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.over, s.err = true, err
	s.waiting, s.queued = [levelCount][]*driver.Delivery{}, 0
	close(s.ended)
}

// admit makes a delivery of what came.
func (s *session) admit(d *amqp091.Delivery) {
	j := decode(d)
	r := &receipt{s: s, tag: d.DeliveryTag, deliveries: j.deliveries}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = append(s.held, r)
	if j.bad != "" {
		r.state = settling
		s.tasks.Go(func() { s.bury(r, d, j.bad) })
		return
	}
	level := driver.Critical - j.Level
	s.waiting[level] = append(s.waiting[level], &driver.Delivery{
		Message: j.Message, Failures: j.failures, LastError: j.lastError,
		Deliveries: j.deliveries, Redeliveries: j.redeliveries, Receipt: r,
	})
	s.queued++
	s.signal()
}

func (s *session) signal() {
	select {
	case s.arrived <- struct{}{}:
	default:
	}
}

// take returns up to max deliveries, or waits for some. A mover that ends in the
// meantime is an error: the next call makes another.
func (s *session) take(ctx context.Context, max int, m *mover) ([]*driver.Delivery, error) {
	for {
		if got := s.pop(max); got != nil {
			return got, nil
		}
		select {
		case <-s.arrived:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.c.closing:
			return nil, errClosed
		case <-s.ended:
			s.mu.Lock()
			defer s.mu.Unlock()
			return nil, s.err
		case <-m.ended:
			return nil, m.err
		}
	}
}

func (s *session) pop(max int) []*driver.Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(s.queued, max)
	if n == 0 {
		return nil
	}
	got := make([]*driver.Delivery, 0, n)
	for i := range s.waiting {
		k := min(n-len(got), len(s.waiting[i]))
		got = append(got, s.waiting[i][:k]...)
		clear(s.waiting[i][:k])
		if s.waiting[i] = s.waiting[i][k:]; len(s.waiting[i]) == 0 {
			s.waiting[i] = nil
		}
	}
	if s.queued -= n; s.queued > 0 {
		s.signal() // for another Receive
	}
	return got
}

// bury moves what is no job to the dead letters, or drops it if it has no body.
// If that fails, the message stays with this session and comes back after it.
func (s *session) bury(r *receipt, d *amqp091.Delivery, why string) {
	if len(d.Body) > 0 {
		ctx, cancel := s.context()
		defer cancel()
		item := &publication{queue: s.c.n.dead, message: unreadable(d, why)}
		s.c.h.publish(ctx, []*publication{item})
		if item.err != nil {
			return
		}
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	r.state = settled
	s.trim()
	s.mu.Unlock()
	_ = s.ch.Ack(r.tag, false) // if it fails, the session is at its end
}

// context ends with the session or the consumer.
func (s *session) context() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	s.tasks.Go(func() {
		select {
		case <-s.ended:
		case <-s.c.closing:
		case <-ctx.Done():
		}
		cancel()
	})
	return ctx, cancel
}

// giveBack cancels the consumer and returns what nobody has received. It goes
// before the channel is closed since, as of 4.3, the broker counts only what a
// closed channel held as lost.
func (s *session) giveBack() {
	s.asking.Lock()
	err := s.ch.Cancel(consumerTag, false)
	s.asking.Unlock()
	if err != nil {
		return // the broker gives everything back
	}
	<-s.drained
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	var tags []uint64
	for i := range s.waiting {
		for _, d := range s.waiting[i] {
			r := d.Receipt.(*receipt)
			r.state = settled
			tags = append(tags, r.tag)
		}
		s.waiting[i] = nil
	}
	s.queued = 0
	s.mu.Unlock()
	s.link.wire.cork()
	defer s.link.wire.uncork()
	for _, tag := range tags {
		if s.ch.Nack(tag, false, true) != nil {
			return
		}
	}
}

// stop closes the channel and waits for what works on it.
func (s *session) stop() {
	s.end(errClosed)
	_ = s.ch.Close()
	s.tasks.Wait()
}

// barrier returns when the broker has processed all that was sent on the channel
// before. Acknowledgements have no answer, and the cheapest request that has one
// is to set again what is set: it concerns later consumers only.
func (s *session) barrier() error {
	s.asking.Lock()
	err := s.ch.Qos(s.c.prefetch, 0, false)
	s.asking.Unlock()
	if err != nil {
		return err
	}
	select {
	case _, ok := <-s.cancels:
		if ok {
			// The queue was deleted, or the broker took the deliveries back.
			s.end(errCancelled)
			_ = s.ch.Close()
			return errCancelled
		}
	default:
	}
	return nil
}

// lostBy is why a session has ended.
func (s *session) lostBy() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil || errors.Is(s.err, errLost) {
		return errLost
	}
	return fmt.Errorf("%w: %w", errLost, s.err)
}
