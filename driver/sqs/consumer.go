package sqs

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
)

// consumer receives from one queue. Receive takes what polls have brought; a
// poll runs on its own, because a long poll that is cut off may have been handed
// a job that then rests until its visibility timeout.
type consumer struct {
	b     *base
	queue string
	// lease is what it was opened with. visibility is the timeout that SQS is asked
	// for, in whole seconds: one more, for the way of the answer, and for which a job
	// that comes a little before its time can be kept here with its whole lease.
	lease      time.Duration
	visibility int32

	// polling ends when polls are to be cut off.
	polling context.Context
	cut     context.CancelFunc
	done    chan struct{} // closed when Close begins
	gone    chan struct{} // closed when Close has ended

	mu      sync.Mutex // guards following
	closed  bool
	sources []source
	// ready are jobs that no Receive was there for, oldest first.
	ready   []*driver.Delivery
	waiters []*waiter
	// stale fires when jobs have been ready for too long.
	stale *time.Timer
	work  sync.WaitGroup // polls and what stale does; Add only while not closed
}

// source is one of the SQS queues that a consumer polls.
type source struct {
	// polls are under way; allowed is how many may be: one on an idle queue, more
	// while they bring jobs.
	polls, allowed int
}

// waiter is a Receive under way.
type waiter struct {
	most   int
	served chan served // holds one
}

type served struct {
	deliveries []*driver.Delivery
	err        error
}

// Consume opens a consumer, see driver.Driver.
func (b *base) Consume(ctx context.Context, queueName string, options driver.ConsumeOptions) (driver.Consumer, error) {
	ctx, leave, err := b.enter(ctx, "consume", queueName)
	if err != nil {
		return nil, err
	}
	defer leave()
	if options.Lease < minLease || options.Lease > maxLease {
		return nil, &driver.Error{Driver: Name, Op: "consume", Queue: queueName, Kind: driver.ErrConfig, Fate: driver.FateNotStored,
			Err: fmt.Errorf("a lease of %s is not between %s and %s", options.Lease, minLease, maxLease)}
	}
	q, err := b.resolve(ctx, queueName)
	if err != nil {
		return nil, fail("consume", queueName, err)
	}
	c := &consumer{
		b: b, queue: queueName, lease: options.Lease, visibility: min(seconds(options.Lease+maxKeep), seconds(maxLease)),
		done: make(chan struct{}), gone: make(chan struct{}), sources: make([]source, len(q.sources())),
	}
	for i := range c.sources {
		c.sources[i].allowed = 1
	}
	c.polling, c.cut = context.WithCancel(b.cut)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		c.cut()
		return nil, closed("consume", queueName)
	}
	b.consumers[c] = struct{}{}
	return c, nil
}

// Lease is what the consumer was opened with. SQS counts whole seconds, and holds
// a job for up to two more.
func (c *consumer) Lease() time.Duration { return c.lease }

// Receive takes jobs that are there, or waits for a poll to bring some.
func (c *consumer) Receive(ctx context.Context, most int) ([]*driver.Delivery, error) {
	_, leave, err := c.b.enter(ctx, "receive", c.queue)
	if err != nil {
		return nil, err
	}
	defer leave()
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, closed("receive", c.queue)
	}
	if len(c.ready) > 0 {
		got := c.take(most)
		c.mu.Unlock()
		return got, nil
	}
	w := &waiter{most: min(most, requestEntries), served: make(chan served, 1)}
	c.waiters = append(c.waiters, w)
	c.launch()
	c.mu.Unlock()
	select {
	case s := <-w.served:
		return s.deliveries, s.err
	case <-ctx.Done():
	case <-c.done:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, other := range c.waiters {
		if other == w {
			c.waiters = append(c.waiters[:i], c.waiters[i+1:]...)
			break
		}
	}
	select {
	case s := <-w.served: // at the last moment
		if len(s.deliveries) > 0 {
			return s.deliveries, nil
		}
	default:
	}
	if c.closed {
		return nil, closed("receive", c.queue)
	}
	return nil, fail("receive", c.queue, ctx.Err())
}

// take hands out jobs that are ready. c.mu must be held.
func (c *consumer) take(most int) []*driver.Delivery {
	n := min(most, len(c.ready))
	got := append([]*driver.Delivery(nil), c.ready[:n]...)
	rest := copy(c.ready, c.ready[n:])
	clear(c.ready[rest:])
	c.ready = c.ready[:rest]
	return got
}

// serve gives what is ready to the Receives that wait. c.mu must be held.
func (c *consumer) serve() {
	for len(c.ready) > 0 && len(c.waiters) > 0 {
		w := c.waiters[0]
		c.waiters = append(c.waiters[:0], c.waiters[1:]...)
		w.served <- served{deliveries: c.take(w.most)}
	}
	if len(c.ready) > 0 {
		c.watch()
	}
}

// maxRest is how long a job that no Receive was there for waits for the next one:
// a worker that has room for jobs comes at once, and one that has none must not
// keep them from others.
const maxRest = time.Second

// watch gives ready jobs back when nobody has come for them. c.mu must be held.
func (c *consumer) watch() {
	if c.stale != nil || c.closed {
		return
	}
	c.work.Add(1)
	c.stale = time.AfterFunc(min(maxRest, c.lease/3), func() {
		defer c.work.Done()
		c.mu.Lock()
		c.stale = nil
		left := c.ready
		c.ready = nil
		c.mu.Unlock()
		c.giveBack(c.polling, left)
	})
}

// maxKeep is the longest that a job is kept here until it is due: what SQS, which
// counts whole seconds, did not hold it back for.
const maxKeep = time.Second

// keep hands out a job once it is due. c.mu must be held.
func (c *consumer) keep(d *driver.Delivery, left time.Duration) {
	c.work.Add(1) // the poll that brought it is under way, so Close waits
	time.AfterFunc(left, func() {
		defer c.work.Done()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ready = append(c.ready, d)
		c.serve()
	})
}

// giveBack makes jobs that no Receive returned available again, each as a new
// message: of the old one SQS has counted a delivery that was none. If that fails
// they come again when their leases end.
func (c *consumer) giveBack(ctx context.Context, deliveries []*driver.Delivery) {
	if len(deliveries) == 0 {
		return
	}
	q, err := c.b.resolve(ctx, c.queue)
	if err != nil {
		return
	}
	var work, retry sorter
	for _, d := range deliveries {
		r := d.Receipt.(*receipt)
		r.settled.Store(true)
		again := &parcel{body: r.body, meta: r.again()}
		s := &work
		if r.url != q.work {
			s = &retry
		}
		s.early, s.sentOn = append(s.early, r), append(s.sentOn, again)
	}
	for s, url := range map[*sorter]string{&work: q.work, &retry: q.retry} {
		s.c = c
		_ = s.move(ctx, url, s.sentOn, s.early)
	}
}

// Close ends the consumer, see driver.Consumer. Polls end by themselves, which
// takes the URL's wait at most, and what they bring is given back; when ctx ends
// before, they are cut off, and a job that SQS was handing out just then rests
// for the length of a lease.
func (c *consumer) Close(ctx context.Context) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		select {
		case <-c.gone:
		case <-ctx.Done():
		}
		return nil
	}
	c.closed = true
	close(c.done)
	if c.stale != nil && c.stale.Stop() {
		c.work.Done()
	}
	c.mu.Unlock()
	defer close(c.gone)

	polls := make(chan struct{})
	go func() {
		c.work.Wait()
		close(polls)
	}()
	var err error
	select {
	case <-polls:
	case <-ctx.Done():
		err = fail("close consumer", c.queue, ctx.Err())
		c.cut()
		<-polls
	}
	c.mu.Lock()
	left := c.ready
	c.ready = nil
	c.mu.Unlock()
	if err == nil {
		c.giveBack(ctx, left)
	}
	c.cut()
	c.b.mu.Lock()
	delete(c.b.consumers, c)
	c.b.mu.Unlock()
	return err
}
