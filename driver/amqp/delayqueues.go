package amqp

import (
	"context"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
	"github.com/batch-go/batch/internal/lifecycle"
)

// delayQueues is what a driver knows of the delay queues of a queue.
type delayQueues struct {
	// made is closed when they are ready, or cannot be made, for err.
	made chan struct{}
	err  error
}

// ready tells whether the delay queues may be used.
func (q *delayQueues) ready() bool {
	select {
	case <-q.made:
		return q.err == nil
	default:
		return false
	}
}

// minAge is how long after it was made a delay queue is first used. RabbitMQ
// writes down which quorum queues it has with a delay of half a second or more; a
// node that is killed before comes back with a dead queue, and has lost what it had
// confirmed: https://github.com/rabbitmq/ra/blob/main/src/ra_directory.erl. Of a
// job that is being retried nobody would expect that.
const minAge = 2 * time.Second

// scheduler makes the publications of one call. What it has to know of the delay queues it
// asks once, however many jobs are delayed, and however that ends: a broker that is gone
// would be dialled for each of them.
type scheduler struct {
	base  *base
	asked bool
	ready bool // the delay queues are
	err   error
	watch *watch // over them, or nil
}

// schedule makes the publication of a job that is to be available after delay.
func (s *scheduler) schedule(ctx context.Context, n *names, message amqp091.Publishing, delay time.Duration, now time.Time) (*publication, error) {
	if delay <= 0 {
		return &publication{queue: n.main, message: message}, nil
	}
	if delay >= minTTL && !s.asked {
		s.asked = true
		if q, err := s.base.delayQueues(ctx, n); err != nil {
			s.err = fault.NotSent{Err: err}
		} else {
			s.ready = q.ready()
			s.watch = s.base.watched(n)
		}
	}
	if delay >= minTTL && s.err != nil {
		return nil, s.err
	}
	p := holdBack(n, message, now.Add(delay), now, s.ready)
	if p.ttl > 0 && s.watch != nil {
		s.watch.fill(p.ttl, now)
	}
	return p, nil
}

// store publishes what is for the parts of a queue. A part that was there may not be
// there any more, because somebody removed it, or deleted the queue and declared it
// again. Then a delayed job goes where it would have gone before the delay queues were
// made, and what is for another part goes there when that is made again.
func (b *base) store(ctx context.Context, n *names, items []*publication) {
	b.publish(ctx, items)
	for range 2 { // for a delay queue, and then for the hop queue in its place
		again := b.reroute(ctx, n, items)
		if len(again) == 0 {
			return
		}
		b.publish(ctx, again)
	}
}

// reroute returns those of items for which there was no queue, ready to be published
// again to one that is there.
func (b *base) reroute(ctx context.Context, n *names, items []*publication) []*publication {
	var again []*publication
	restored, err := false, error(nil)
	for _, item := range items {
		if item.err != errReturned || item.queue == n.main {
			continue
		}
		if item.ttl > 0 {
			b.delays.Delete(n.queue)
			item.toHop(n)
			again = append(again, item)
			continue
		}
		if !restored {
			restored, err = true, b.restore(ctx, n)
		}
		switch {
		case err == nil:
			*item = publication{queue: item.queue, message: item.message}
			again = append(again, item)
		case !isGone(err): // else the whole queue was deleted
			item.err = fault.NotSent{Err: err}
		}
	}
	return again
}

// delayQueues finds the delay queues of a queue, or begins to make them. Most
// queues have no delayed job for long, and each delay queue is a Raft group on
// every node, so that they are made when there is a job for them. It does not wait
// for that: until they are ready, delayed jobs are in the hop queue and in the
// hands of movers.
func (b *base) delayQueues(ctx context.Context, n *names) (*delayQueues, error) {
	if known, ok := b.delays.Load(n.queue); ok {
		q := known.(*delayQueues)
		select {
		case <-q.made:
			if q.err == nil {
				return q, nil
			}
			b.delays.CompareAndDelete(n.queue, known)
			if !isGone(q.err) {
				return nil, q.err
			} // else the queue may have been declared since
		default:
			return q, nil
		}
	}
	// All of them, as somebody may have removed any.
	there, err := b.exist(ctx, delayNames(n))
	if err != nil {
		return nil, err
	}
	q := &delayQueues{made: make(chan struct{})}
	if there {
		close(q.made)
	}
	if known, found := b.delays.LoadOrStore(n.queue, q); found {
		return known.(*delayQueues), nil
	}
	if !there {
		b.tasks.Go(func() {
			q.err = b.makeDelayQueues(n)
			close(q.made)
		})
	}
	return q, nil
}

// watch is the watch over the delay queues of a queue.
func (b *base) watch(n *names) *watch {
	if w := b.watched(n); w != nil {
		return w
	}
	w, _ := b.watches.LoadOrStore(n.queue, newWatch(b.lookPause, time.Now()))
	return w.(*watch)
}

// watched is the same if this process has had a consumer of the queue, else nil.
func (b *base) watched(n *names) *watch {
	if w, ok := b.watches.Load(n.queue); ok {
		return w.(*watch)
	}
	return nil
}

// makeDelayQueues declares the delay queues of a queue, and returns when they may
// be used.
func (b *base) makeDelayQueues(n *names) error {
	made := 0
	err := b.call(b.life, func(ch *amqp091.Channel) (err error) {
		made, err = declareDelayQueues(b.life, ch, n)
		return err
	})
	if isGone(err) && made > 0 && lifecycle.Sleep(b.life, minAge) == nil {
		_ = b.call(b.life, func(ch *amqp091.Channel) error { return deleteAll(b.life, ch, delayNames(n)) })
	}
	if err == nil && lifecycle.Sleep(b.life, minAge) != nil {
		err = driver.ErrClosed
	}
	return err
}

// declareDelayQueues declares them, shortest TTL first, and returns how many it did.
func declareDelayQueues(ctx context.Context, ch *amqp091.Channel, n *names) (int, error) {
	for i, ttl := range ttls {
		// The queue may have been deleted, and delay queues must not outlive it.
		_, err := lookUp(ch, n.main)
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = declare(ch, n.delay(ttl), delayArgs(ttl, n.hop))
		}
		if err != nil {
			return i, err
		}
	}
	return len(ttls), nil
}

// awaitMinAge waits until the delay queues of a queue, if there are any, are old
// enough to be deleted. Each has a process of the broker that moves on what has
// expired. Deleting a queue whose process is just being started makes that fail
// and start anew until the broker's supervisor of all of them gives up, and for a
// moment no queue of that node can be used: connections that use one end with
// INTERNAL_ERROR (rabbit_fifo_dlx_sup.erl, seen on 4.0.5).
func (b *base) awaitMinAge(ctx context.Context, n *names) error {
	ctx, cancel := b.within(ctx)
	defer cancel()
	if known, ok := b.delays.Load(n.queue); ok {
		select {
		case <-known.(*delayQueues).made: // minAge has passed since they were declared
		case <-ctx.Done():
			return ctx.Err()
		}
		return nil
	}
	there, err := b.exist(ctx, []string{n.delay(ttls[0])})
	if there {
		err = lifecycle.Sleep(ctx, minAge) // when they were declared cannot be known
	}
	return err
}
