package amqp

import (
	"container/heap"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
)

const (
	// moverPrefetch is how many delayed jobs a mover has in hand. Those that wait
	// for their last moments are among them, 32 ms on average, so that 512 allow
	// for 16 000 jobs a second, and for twice that of confirms in between.
	moverPrefetch = 512
	// moverFlights is how many groups of them are being confirmed at one time.
	moverFlights = 4
)

// mover takes delayed jobs from the hop queue to their next level, or to where
// they are handed out. Every consumer has one, on a channel of its own, so that
// they are moved where there is somebody to run them.
type mover struct {
	c    *consumer
	ch   *amqp091.Channel
	link *link
	// ended is closed when it has ended, for err.
	ended chan struct{}
	err   error

	sync chan struct{} // received by run, in turn
	// backlog is how many jobs were there when the mover began, and of them not
	// read; cleared is closed when those of them that were due are moved.
	backlog int
	cleared chan struct{}
	cancel  context.CancelFunc // of what is being published
	halt    chan struct{}      // closed to end it
	halting sync.Once
	done    chan struct{} // closed when its goroutine has ended
}

// waiting is a job in hand, until it is due.
type waiting struct {
	tag     uint64
	due     time.Time
	message amqp091.Publishing
}

// newMover opens a channel and consumes from the hop queue.
func newMover(c *consumer, l *link) (*mover, error) {
	ch, err := l.conn.Channel()
	if err != nil {
		return nil, err
	}
	cancels := ch.NotifyCancel(make(chan string)) // unbuffered: see barrier
	closes := ch.NotifyClose(make(chan *amqp091.Error, 1))
	overdue, err := passive(ch, c.n.hop)
	if err != nil {
		return nil, err
	}
	deliveries, err := subscribe(ch, c.n.hop, "batch", moverPrefetch, true)
	if err != nil {
		_ = ch.Close()
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &mover{c: c, ch: ch, link: l, ended: make(chan struct{}), sync: make(chan struct{}), backlog: overdue.Messages, cleared: make(chan struct{}), cancel: cancel, halt: make(chan struct{}), done: make(chan struct{})}
	go m.run(ctx, deliveries, cancels, closes)
	return m, nil
}

func (m *mover) alive() bool {
	select {
	case <-m.ended:
		return false
	default:
		return !m.ch.IsClosed()
	}
}

// run works until the channel ends, a message cannot be moved, or halt.
func (m *mover) run(ctx context.Context, deliveries <-chan amqp091.Delivery, cancels <-chan string, closes <-chan *amqp091.Error) {
	defer close(m.done)
	var (
		inHand timetable                        // not due yet
		ready  []waiting                        // to be published
		moved  = make(chan error, moverFlights) // one for each flight that has ended
		flying int
		raised <-chan struct{} // closed when the ladder that jobs in hand need is there
		err    error
	)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for err == nil {
		now := time.Now()
		for len(inHand) > 0 && !inHand[0].due.After(now) {
			ready = append(ready, heap.Pop(&inHand).(waiting))
		}
		if len(ready) > 0 && flying < moverFlights {
			batch := ready
			ready = nil
			flying++
			go func() { moved <- m.move(ctx, batch) }()
		}
		if m.backlog == 0 && len(ready) == 0 && flying == 0 {
			m.backlog = -1
			close(m.cleared)
		}
		if len(inHand) > 0 {
			timer.Reset(time.Until(inHand[0].due))
		}
		select {
		case d, ok := <-deliveries:
			if !ok {
				err = errCancelled
				break
			}
			if m.backlog > 0 {
				m.backlog--
			}
			w := m.read(&d, time.Now())
			left := time.Until(w.due)
			if left >= shortest && raised == nil {
				raised, err = m.ladder(ctx)
			}
			if left > 0 && (left < shortest || raised != nil) {
				heap.Push(&inHand, w)
			} else {
				ready = append(ready, w)
			}
		case <-raised:
			// Those that have time for a level go to it.
			if raised, err = m.ladder(ctx); raised == nil {
				all := inHand
				inHand = nil
				for _, w := range all {
					if time.Until(w.due) >= shortest {
						ready = append(ready, w)
					} else {
						heap.Push(&inHand, w)
					}
				}
			}
		case _, ok := <-cancels:
			if err = errCancelled; ok {
				m.c.lose(err)
			}
		case <-m.sync:
		case <-timer.C:
		case err = <-moved:
			flying--
		case <-m.halt:
			err = errClosed
		}
	}
	if err != errClosed {
		m.cancel()
	}
	// The library waits for who receives these.
	go func() {
		for range cancels {
			continue
		}
	}()
	for ; flying > 0; flying-- {
		<-moved
	}
	m.cancel()
	// What is in hand goes back to the hop queue with the channel.
	_ = m.ch.Qos(moverPrefetch, 0, false) // the broker has taken the acknowledgements
	_ = m.ch.Close()
	select {
	case e := <-closes:
		if e != nil {
			err = fmt.Errorf("%w: %w", errUnconfirmed, e)
		}
	default:
	}
	m.err = err
	close(m.ended)
}

// ladder is nil if the levels may be used, else closed when that may have changed.
func (m *mover) ladder(ctx context.Context) (<-chan struct{}, error) {
	l, err := m.c.h.ladder(ctx, m.c.n)
	if err != nil || l.ready() {
		return nil, err
	}
	return l.raised, nil
}

// clear waits until the jobs that fell due while no consumer lived are moved, so
// that they are handed out with the others, and by their priority. If they are
// very many it does not wait for all of them.
func (m *mover) clear(ctx context.Context) {
	patience := time.NewTimer(time.Second)
	defer patience.Stop()
	select {
	case <-m.cleared:
	case <-m.ended:
	case <-patience.C:
	case <-ctx.Done():
	case <-m.c.closing:
	}
}

// catchUp returns when what the library has passed on was looked at.
func (m *mover) catchUp() {
	select {
	case m.sync <- struct{}{}:
	case <-m.ended:
	case <-m.done:
	}
}

// read takes a message of the hop queue apart.
func (m *mover) read(d *amqp091.Delivery, now time.Time) waiting {
	w := waiting{tag: d.DeliveryTag, due: dueOf(d.Headers, now)}
	headers := make(amqp091.Table, len(d.Headers))
	for name, value := range d.Headers {
		switch name {
		case hDue, hLeft, hClock:
			continue
		}
		if len(name) > 1 && (name[0] == 'x' || name[0] == 'X') && name[1] == '-' {
			continue // the broker's, about its way so far
		}
		headers[name] = value
	}
	w.message = amqp091.Publishing{
		MessageId: d.MessageId, Type: d.Type, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding,
		Timestamp: d.Timestamp, CorrelationId: d.CorrelationId, ReplyTo: d.ReplyTo, AppId: d.AppId,
		DeliveryMode: amqp091.Persistent, Headers: headers, Body: d.Body,
	}
	return w
}

// move publishes jobs to where they go next and then acknowledges them.
func (m *mover) move(ctx context.Context, batch []waiting) error {
	now := time.Now()
	items := make([]*publication, len(batch))
	for i, w := range batch {
		if w.due.After(now) {
			items[i] = climb(m.c.n, w.message, w.due, now, true)
			continue
		}
		r := reader{headers: w.message.Headers}
		if _, ok := w.message.Headers[hLevel]; ok {
			w.message.Priority = uint8(r.number(hLevel, lowest, lowest+int64(levelCount)-1) - lowest + basePriority)
			delete(w.message.Headers, hLevel)
		}
		items[i] = &publication{queue: m.c.n.main, message: w.message}
	}
	m.c.h.publish(ctx, items)
	m.link.wire.cork()
	defer m.link.wire.uncork()
	var first error
	for i, item := range items {
		err := item.err
		if err == nil {
			err = m.ch.Ack(batch[i].tag, false)
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// stop ends the mover when what it is publishing is confirmed, so that nothing
// is moved twice, or when ctx ends.
func (m *mover) stop(ctx context.Context) {
	m.halting.Do(func() { close(m.halt) })
	stop := context.AfterFunc(ctx, m.cancel)
	defer stop()
	<-m.done
}

// timetable is a heap of jobs by when they are due.
type timetable []waiting

// Len is how many there are.
func (t timetable) Len() int { return len(t) }

// Less is by time.
func (t timetable) Less(i, j int) bool { return t[i].due.Before(t[j].due) }

// Swap swaps two.
func (t timetable) Swap(i, j int) { t[i], t[j] = t[j], t[i] }

// Push appends one.
func (t *timetable) Push(x any) { *t = append(*t, x.(waiting)) }

// Pop removes the last.
func (t *timetable) Pop() any {
	old := *t
	last := old[len(old)-1]
	old[len(old)-1] = waiting{}
	*t = old[:len(old)-1]
	return last
}

// unreadable is the dead letter of a message that is no job.
func unreadable(d *amqp091.Delivery, why string) amqp091.Publishing {
	j := decode(d)
	headers := make(amqp091.Table, len(j.Headers)+8)
	for name, value := range j.Headers {
		if reserved(name) {
			name = hEscape + name
		}
		headers[name] = value
	}
	headers[hError] = strings.ToValidUTF8(why, "")
	headers[hDeliveries] = int64(j.deliveries)
	m := amqp091.Publishing{
		MessageId: j.ID, Type: j.Kind, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding,
		Timestamp: d.Timestamp, Priority: d.Priority, DeliveryMode: amqp091.Persistent, Headers: headers, Body: d.Body,
	}
	entomb(&m, driver.ReasonUnreadable, time.Now())
	if !visible(m.MessageId) {
		m.MessageId = "unreadable-" + m.Headers[hEntry].(string) // to name it by
	}
	return m
}
