package amqp

import (
	"context"
	"fmt"
	"sync"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/lifecycle"
)

// source is where the jobs of a consumer come from.
type source struct {
	base     *base
	names    *names
	prefetch int
	// life ends when the consumer stops receiving.
	life context.Context
}

// within is ctx until the consumer stops receiving.
func (s *source) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// session is the channel of a consumer while it lives. A receipt belongs to its
// session, so that a delivery tag never acknowledges what came later on another
// channel. From the first Receive on it has a subscription: see subscribe.go.
type session struct {
	*source
	ch    *amqp091.Channel
	conn  *connection
	sync  chan struct{} // received by watch, after the notices before
	ended chan struct{} // closed when it has ended, for err

	writing sync.Mutex // held while settling: frames go out in the order planned
	asking  sync.Mutex // held during requests that have an answer: the library mixes up two
	// subscribing holds a token while a subscription begins or ends.
	subscribing chan struct{}

	mu sync.Mutex // guards following
	// unread are deliveries not yet received.
	unread buffer
	// arrived is signalled when there are some.
	arrived chan struct{}
	// stuck are entries that are no jobs and could not be moved to the dead letters:
	// see stuck.go. retrying tells that a task tries again, crowding is how many of
	// them came by the current subscription, and trouble is for a Receive to report.
	stuck    []stuckEntry
	retrying bool
	crowding int
	trouble  error
	// held are the receipts that are not settled.
	held receipts
	// current is the subscription, or nil.
	current *subscription
	// receivers is how many Receive calls are under way.
	receivers int
	over      bool
	err       error

	tasks lifecycle.Gate
	// replacements are those of the tasks that replace a message.
	replacements sync.WaitGroup
	// replacing is the context of their publications; it ends with the session.
	replacing context.Context
	cancel    context.CancelFunc // ends replacing
}

// subscription is one basic.consume.
type subscription struct{ tag string }

// receipt is a delivery as its session knows it.
type receipt struct {
	session *session
	tag     uint64
	// state is guarded by the session's mu.
	state receiptState
	// deliveries counts this one in.
	deliveries int
	// before and after are its neighbours in the session's held.
	before, after *receipt
}

// receiptState tells where a delivery is.
type receiptState uint8

const (
	receiptHeld     receiptState = iota // by the consumer, or by the session for it
	receiptSettling                     // a call or task works on it
	receiptSettled
)

// receipts are receipts in the order of their tags. However many jobs are done
// while one runs for long, they are no more than what is held.
type receipts struct {
	first, last *receipt
	size        int
}

// push adds a receipt, whose tag is higher than those before.
func (l *receipts) push(r *receipt) {
	if r.before = l.last; l.last == nil {
		l.first = r
	} else {
		l.last.after = r
	}
	l.last = r
	l.size++
}

// remove takes out a receipt that is in the list.
func (l *receipts) remove(r *receipt) {
	if r.before == nil {
		l.first = r.after
	} else {
		r.before.after = r.after
	}
	if r.after == nil {
		l.last = r.before
	} else {
		r.after.before = r.before
	}
	r.before, r.after = nil, nil
	l.size--
}

// upTo is the lowest tag in the list, or above all tags if there is none.
func (l *receipts) upTo() uint64 {
	if l.first == nil {
		return ^uint64(0)
	}
	return l.first.tag
}

// stuckEntry is a delivery that is no job, and could not be moved to the dead letters
// as letter.
type stuckEntry struct {
	receipt *receipt
	letter  *publication
}

// newSession opens a channel.
func newSession(from *source, conn *connection) (*session, error) {
	ch, err := conn.client.Channel()
	if err != nil {
		return nil, err
	}
	s := &session{
		source: from, ch: ch, conn: conn,
		sync: make(chan struct{}), ended: make(chan struct{}), arrived: make(chan struct{}, 1),
		subscribing: make(chan struct{}, 1),
	}
	s.replacing, s.cancel = context.WithCancel(context.Background())
	// Unbuffered, so that the library goes on to the next frame only when the
	// notice was received: see barrier.
	cancels := ch.NotifyCancel(make(chan string))
	closes := ch.NotifyClose(make(chan *amqp091.Error, 1))
	s.tasks.Go(func() { s.watch(cancels, closes) })
	return s, nil
}

// alive tells whether the session is of use.
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
			s.tasks.Go(s.close) // beside, so that the library can go on to the next frame
		case err := <-closes:
			if err != nil {
				s.end(fmt.Errorf("%w: %w", errUnconfirmed, err))
			} else {
				s.end(driver.ErrClosed)
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
	s.unread, s.stuck, s.held = buffer{}, nil, receipts{}
	if s.current != nil {
		s.conn.tap.unsubscribe(s.current.tag)
	}
	s.cancel()
	close(s.ended)
}

// close closes the channel of a session that has ended. Nothing may be sent on the channel behind
// that: the broker would end the connection for it.
func (s *session) close() {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.asking.Lock()
	defer s.asking.Unlock()
	_ = s.ch.Close() // it may be closed already
}

// ask makes a request that has an answer. If the session has ended, it returns endedFor.
func (s *session) ask(request func() error) error {
	s.asking.Lock()
	defer s.asking.Unlock()
	if err := s.endedFor(); err != nil {
		return err
	}
	return request()
}

// stop closes the channel and waits for what works on it.
func (s *session) stop() {
	s.end(driver.ErrClosed)
	s.close()
	s.tasks.Shut()
	s.tasks.WaitAll()
	s.replacements.Wait()
}

// cancelSubscription ends a subscription that is not current any more, and returns
// when all that it brought is accepted. A quorum queue may have more on the way to the
// channel, which does not send that any more, but returns it:
// https://github.com/rabbitmq/rabbitmq-server/pull/3746. Before 4.3 this counts as a
// lost holder, and nothing here can know of it: see the package comment.
func (s *session) cancelSubscription(sub *subscription) error {
	err := s.ask(func() error { return s.ch.Cancel(sub.tag, false) })
	s.conn.tap.unsubscribe(sub.tag) // the answer was read after all deliveries
	return err
}

// endedFor is why the session has ended, or nil.
func (s *session) endedFor() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// lost is the error of deliveries that ended with the session.
func (s *session) lost() error {
	if err := s.endedFor(); err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	return errLost
}

// signal wakes a Receive call.
func (s *session) signal() {
	select {
	case s.arrived <- struct{}{}:
	default:
	}
}

// pop takes up to max deliveries that are unread.
func (s *session) pop(max int) []*driver.Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.unread.pop(max)
	if s.unread.size > 0 && got != nil {
		s.signal() // for another Receive
	}
	return got
}

// buffer is deliveries by level, highest first.
type buffer struct {
	levels [levelCount][]*driver.Delivery
	size   int
}

// push adds a delivery.
func (b *buffer) push(d *driver.Delivery) {
	i := driver.Critical - d.Level
	b.levels[i] = append(b.levels[i], d)
	b.size++
}

// pop removes up to max deliveries, those of the highest levels first; nil if
// there are none.
func (b *buffer) pop(max int) []*driver.Delivery {
	n := min(b.size, max)
	if n == 0 {
		return nil
	}
	got := make([]*driver.Delivery, 0, n)
	for i, level := range b.levels {
		k := min(n-len(got), len(level))
		got = append(got, level[:k]...)
		clear(level[:k])
		if b.levels[i] = level[k:]; len(b.levels[i]) == 0 {
			b.levels[i] = nil
		}
	}
	b.size -= n
	return got
}
