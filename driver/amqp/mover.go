package amqp

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"sync"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/bootclock"
)

// moverPrefetch is how many delayed jobs a mover has in hand. Those that wait
// for their last moments are among them, 32 ms on average, so that 512 allow
// for 16 000 jobs a second, and for twice that of confirms in between.
const moverPrefetch = 512

// mover takes delayed jobs from the hop queue to their next delay queue, or to
// where they are handed out. Every consumer has one, on a channel of its own, so
// that they are moved where there is a worker to run them.
type mover struct {
	*carrier
	// looker looks at the delay queues on the mover's behalf.
	looker *looker
	// gone is called when the broker says that the hop queue was deleted.
	gone func(error)
	// ended is closed when it has ended, for err.
	ended chan struct{}
	err   error

	sync   chan struct{}      // received by run, after the notices before
	cancel context.CancelFunc // of what is being published
	halt   chan struct{}      // closed to end it
	halted sync.Once
	done   chan struct{} // closed when its goroutine has ended

	// What follows is run's own.

	came *arrivals // from the hop queue
	tag  string    // of the subscription
	// backlog is how many jobs were there when the mover began, and of them not
	// read; -1 after cleared was closed, when those of them that were due are moved.
	backlog int
	cleared chan struct{}
	inHand  timetable    // not due yet
	ready   []delayedJob // to be published
	moved   chan moved   // one for each group that has ended
	moving  int          // groups that have not
	// awaited is closed when the delay queues that jobs in hand need are there;
	// nil if nothing needs them, or they are.
	awaited <-chan struct{}
}

// newMover opens a channel and consumes from the hop queue.
func newMover(from *source, conn *connection, gone func(error)) (*mover, error) {
	ch, err := conn.client.Channel()
	if err != nil {
		return nil, err
	}
	cancels := ch.NotifyCancel(make(chan string)) // unbuffered: see barrier
	closes := ch.NotifyClose(make(chan *amqp091.Error, 1))
	overdue, err := lookUp(ch, from.names.hop)
	if err != nil {
		return nil, err
	}
	came := newArrivals()
	tag := conn.tap.subscribe(came.put)
	over, err := consumeFrom(ch, from.names.hop, tag, moverPrefetch, true) // nothing comes by it: see tap
	if err != nil {
		conn.tap.unsubscribe(tag)
		_ = ch.Close()
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &mover{
		carrier: &carrier{source: from, watch: from.base.watch(from.names), ch: ch, conn: conn}, gone: gone, cancel: cancel,
		ended: make(chan struct{}), sync: make(chan struct{}), halt: make(chan struct{}), done: make(chan struct{}),
		came: came, tag: tag, backlog: overdue.Messages, cleared: make(chan struct{}), moved: make(chan moved, moverBatches),
	}
	m.watch.begin(conn, time.Now())
	m.looker = &looker{source: from, watch: m.watch, conn: conn, halt: m.halt}
	go m.run(ctx, over, cancels, closes)
	return m, nil
}

// alive tells whether the mover is of use.
func (m *mover) alive() bool {
	select {
	case <-m.ended:
		return false
	default:
		return !m.ch.IsClosed()
	}
}

// run works until the channel ends, a message cannot be moved, or halt.
func (m *mover) run(ctx context.Context, over <-chan amqp091.Delivery, cancels <-chan string, closes <-chan *amqp091.Error) {
	defer close(m.done)
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		m.looker.run(ctx)
	}()
	err := m.work(ctx, over, cancels)
	if err != driver.ErrClosed {
		m.cancel()
	}
	// The library waits until these are received.
	go func() {
		for range cancels {
			continue
		}
	}()
	for ; m.moving > 0; m.moving-- {
		<-m.moved
	}
	<-looked
	m.cancel()
	m.giveBack()
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

// giveBack ends the channel. What is in hand goes back to the hop queue before, as
// the broker ends a channel first and then returns what it held.
func (m *mover) giveBack() {
	err := m.ch.Cancel(m.tag, false)
	m.conn.tap.unsubscribe(m.tag)
	if err == nil {
		_ = m.ch.Nack(0, true, true)          // all that is held, and what came meanwhile
		_ = m.ch.Qos(moverPrefetch, 0, false) // all of it was processed
	}
	_ = m.ch.Close()
}

// work moves jobs, and returns why it cannot go on: driver.ErrClosed for halt. over is closed
// when no more come.
func (m *mover) work(ctx context.Context, over <-chan amqp091.Delivery, cancels <-chan string) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		m.moveReady(ctx)
		if len(m.inHand) > 0 {
			timer.Reset(time.Until(m.inHand[0].wake))
		}
		var err error
		select {
		case <-m.came.some:
			for _, d := range m.came.takeAll() {
				err = cmp.Or(err, m.accept(ctx, d))
			}
		case <-over:
			return errCancelled
		case <-m.awaited:
			err = m.sortAnew(ctx)
		case _, ok := <-cancels:
			if ok {
				m.gone(errCancelled)
			}
			return errCancelled
		case <-m.sync:
		case <-timer.C:
		case group := <-m.moved:
			m.moving--
			err = group.err
			for _, job := range group.refused {
				heap.Push(&m.inHand, job)
			}
		case <-m.halt:
			return driver.ErrClosed
		}
		if err != nil {
			return err
		}
	}
}

// moveReady begins to move what is due by now and what was ready before.
func (m *mover) moveReady(ctx context.Context) {
	now := time.Now()
	for len(m.inHand) > 0 && !m.inHand[0].wake.After(now) {
		m.ready = append(m.ready, heap.Pop(&m.inHand).(delayedJob))
	}
	for len(m.ready) > 0 && m.moving < moverBatches {
		n := min(len(m.ready), moverStep)
		jobs := m.ready[:n:n]
		if m.ready = m.ready[n:]; len(m.ready) == 0 {
			m.ready = nil
		}
		m.moving++
		go func() { m.moved <- m.move(ctx, jobs) }()
	}
	if m.backlog == 0 && len(m.ready) == 0 && m.moving == 0 {
		m.backlog = -1
		close(m.cleared)
	}
}

// accept takes a job in hand, or makes it ready.
func (m *mover) accept(ctx context.Context, d *amqp091.Delivery) (err error) {
	if m.backlog > 0 {
		m.backlog--
	}
	job := delayedJob{tag: d.DeliveryTag}
	clock := bootclock.Now() // before now, so that no job is early
	now := time.Now()
	gone, removed := removalOf(d.Headers)
	if removed && gone.queue == m.names.dead {
		job.dead, job.due, job.message = true, now.Add(moverPause), returned(d)
	} else {
		m.watch.move(m.names, gone.queue, now)
		job.due, job.message = dueOf(d.Headers, now, clock), withoutDelay(d)
	}
	job.wake = job.due
	fit(&job.message, m.base.room-delayRoom)
	left := time.Until(job.due)
	if job.dead {
		heap.Push(&m.inHand, job)
		return nil
	}
	if left >= minTTL && m.awaited == nil {
		m.awaited, err = m.awaitDelayQueues(ctx)
	}
	if left > 0 && (left < minTTL || m.awaited != nil) {
		heap.Push(&m.inHand, job)
	} else {
		m.ready = append(m.ready, job)
	}
	return err
}

// sortAnew makes those jobs ready that have time for a delay queue, if these are
// there.
func (m *mover) sortAnew(ctx context.Context) (err error) {
	if m.awaited, err = m.awaitDelayQueues(ctx); m.awaited != nil {
		return nil
	}
	all := m.inHand
	m.inHand = nil
	for _, job := range all {
		if time.Until(job.due) >= minTTL {
			m.ready = append(m.ready, job)
		} else {
			heap.Push(&m.inHand, job)
		}
	}
	return err
}

// awaitDelayQueues is nil if the delay queues may be used, else closed when that
// may have changed.
func (m *mover) awaitDelayQueues(ctx context.Context) (<-chan struct{}, error) {
	q, err := m.base.delayQueues(ctx, m.names)
	if err != nil || q.ready() {
		return nil, err
	}
	return q.made, nil
}

// awaitBacklog waits until the jobs that fell due while no consumer lived are
// moved, so that they are handed out with the others, and by their priority. If
// they are very many it does not wait for all of them.
func (m *mover) awaitBacklog(ctx context.Context) {
	patience := time.NewTimer(time.Second)
	defer patience.Stop()
	select {
	case <-m.cleared:
	case <-m.ended:
	case <-patience.C:
	case <-ctx.Done():
	case <-m.life.Done():
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

// stop ends the mover when what it is publishing is confirmed, so that nothing
// is moved twice, or when ctx ends.
func (m *mover) stop(ctx context.Context) {
	m.halted.Do(func() { close(m.halt) })
	stop := context.AfterFunc(ctx, m.cancel)
	defer stop()
	<-m.done
}
