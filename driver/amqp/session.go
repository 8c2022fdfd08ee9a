package amqp

import (
	"context"
	"errors"
	"fmt"
	"sync"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
)

// session is the channel of a consumer while it lives. A receipt belongs to its
// session, so that a delivery tag never acknowledges what came later on another
// channel. From the first Receive on it has a
// subscription; see subscribe.go.
type session struct {
	c     *consumer
	ch    *amqp091.Channel
	link  *link
	sync  chan struct{} // received by watch, in turn
	ended chan struct{} // closed when it has ended, for err

	writing sync.Mutex // held while settling: frames go out in the order planned
	asking  sync.Mutex // held during requests that have an answer: the library mixes up two
	// subscribing holds a token while a subscription begins or ends.
	subscribing chan struct{}

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
	// current is the subscription, or nil; serial is how many there were.
	current *subscription
	serial  int
	// receivers is how many Receive calls are under way.
	receivers int
	over      bool
	err       error

	tasks sync.WaitGroup
}

const levelCount = int(driver.Critical-driver.Trivial) + 1

// receipt is a delivery as its session knows it.
type receipt struct {
	s   *session
	tag uint64
	// state is guarded by s.mu.
	state receiptState
	// deliveries counts this one in.
	deliveries int
}

type receiptState uint8

const (
	held     receiptState = iota // by the consumer, or waiting for it
	settling                     // something works on it
	settled
)

// newSession opens a channel.
func newSession(c *consumer, l *link) (*session, error) {
	ch, err := l.conn.Channel()
	if err != nil {
		return nil, err
	}
	s := &session{
		c: c, ch: ch, link: l,
		sync: make(chan struct{}), ended: make(chan struct{}), arrived: make(chan struct{}, 1),
		subscribing: make(chan struct{}, 1),
	}
	// Unbuffered, so that the library goes on to the next frame only when the
	// notice was received: see barrier.
	cancels := ch.NotifyCancel(make(chan string))
	closes := ch.NotifyClose(make(chan *amqp091.Error, 1))
	s.tasks.Go(func() { s.watch(cancels, closes) })
	return s, nil
}

func (s *session) alive() bool {
	select {
	case <-s.ended:
		return false
	default:
		return !s.ch.IsClosed()
	}
}

// watch follows the channel until it ends.
func (s *session) watch(cancels <-chan string, closes <-chan *amqp091.Error) {
	for {
		select {
		case _, ok := <-cancels:
			if !ok { // closed with the channel
				cancels = nil
				continue
			}
			s.end(errCancelled)
			_ = s.ch.Close()
		case err := <-closes:
			if err != nil {
				s.end(fmt.Errorf("%w: %w", errUnconfirmed, err))
			} else {
				s.end(errClosed)
			}
			return
		case <-s.sync:
		}
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
	if s.over {
		return
	}
	s.held = append(s.held, r)
	switch {
	case j.bad != "":
		r.state = settling
		s.tasks.Go(func() { s.replace(r, func() *publication { return s.bury(d, j.bad) }) })
		return
	case d.Redelivered && s.c.h.anew:
		// A new message, which is handed out in its turn, tells of the holder that
		// was lost.
		r.state = settling
		s.tasks.Go(func() { s.replace(r, func() *publication { return s.recount(&j, j.redeliveries, j.deliveries-1) }) })
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
	s.receiving(1)
	defer s.receiving(-1)
	for {
		if got := s.pop(max); got != nil {
			return got, nil
		}
		if err := s.subscribe(ctx); err != nil {
			return nil, err
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

// replace publishes what is to stand for a message, if anything, and then
// acknowledges that. If it fails, the message stays with this session and comes
// back after it.
func (s *session) replace(r *receipt, by func() *publication) {
	if item := by(); item != nil {
		ctx, cancel := s.context()
		defer cancel()
		if s.c.h.publish(ctx, []*publication{item}); item.err != nil {
			return
		}
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	_ = s.write([]*receipt{r}, nil, nil) // if it fails, the session is at its end
}

// bury is the dead letter of a message that is no job, if it has a body to keep.
func (s *session) bury(d *amqp091.Delivery, why string) *publication {
	if len(d.Body) == 0 {
		return nil
	}
	return &publication{queue: s.c.n.dead, message: unreadable(d, why)}
}

// recount is a job as it is, with other counts.
func (s *session) recount(j *job, losses, deliveries int) *publication {
	h := history{failures: j.failures, lastError: j.lastError, deliveries: deliveries, losses: losses}
	return &publication{queue: s.c.n.main, message: encode(&j.Message, &h)}
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

// stop closes the channel and waits for what works on it.
func (s *session) stop() {
	s.end(errClosed)
	_ = s.ch.Close()
	s.tasks.Wait()
}

// barrier returns when the broker has processed all that was sent on the channel
// before. Acknowledgements have no answer, and the cheapest request that has one
// is to set again what is set: it concerns later subscriptions only.
func (s *session) barrier() error {
	s.asking.Lock()
	err := s.ch.Qos(s.c.prefetch, 0, false)
	s.asking.Unlock()
	if err != nil {
		return err
	}
	// If the broker took the deliveries back, as when the queue was deleted, its
	// notice came before the answer, and watch has received it.
	select {
	case s.sync <- struct{}{}:
	case <-s.ended:
	}
	// Without a subscription there is no notice, but the mover has one of the hop
	// queue, which is deleted together with this one.
	s.c.mu.Lock()
	m := s.c.mover
	s.c.mu.Unlock()
	if m != nil {
		m.catchUp()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(s.err, errCancelled) {
		return errCancelled
	}
	return nil
}

// lostBy is why a session has ended.
func (s *session) lostBy() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		return errLost
	}
	return fmt.Errorf("%w: %w", errLost, s.err)
}
