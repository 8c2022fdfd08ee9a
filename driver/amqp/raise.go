package amqp

import (
	"context"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// ladder is what a handle knows of the levels of a queue.
type ladder struct {
	// raised is closed when it is ready, or cannot be made, for err.
	raised chan struct{}
	err    error
}

// ready tells whether the levels may be used.
func (l *ladder) ready() bool {
	select {
	case <-l.raised:
		return l.err == nil
	default:
		return false
	}
}

// maturity is how long after it was made a level is first used. RabbitMQ writes
// down which quorum queues it has with a delay of half a second or more; a node
// that is killed before comes back with a dead queue, and has lost what it had
// confirmed: https://github.com/rabbitmq/ra/blob/main/src/ra_directory.erl. Of a
// job that is being retried nobody would expect that.
const maturity = 2 * time.Second

// age waits until the levels of a queue, if there are any, have been there for a
// while, so that they can be deleted. Each has a process of the broker that moves
// on what has expired. Deleting a queue whose process is just being started has it
// fail and start anew until the broker's supervisor of all of them gives up, and
// for a moment no queue of that node can be used: connections that do so end with
// INTERNAL_ERROR (rabbit_fifo_dlx_sup.erl, seen on 4.0.5).
func (h *handle) age(ctx context.Context, n *names) error {
	if known, ok := h.ladders.Load(n.queue); ok {
		select {
		case <-known.(*ladder).raised: // maturity has passed since they were made
		case <-ctx.Done():
			return ctx.Err()
		}
		return nil
	}
	err := h.call(ctx, func(ch *amqp091.Channel) error {
		_, err := passive(ch, n.level(levels[0]))
		return err
	})
	if err == nil {
		err = sleep(ctx, maturity) // who made them, and when, cannot be known
	}
	if isGone(err) {
		return nil
	}
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ladder finds the levels of a queue, or begins to make them. Most queues have no
// delayed job for long, and each level is a Raft group on every node, so that they
// are made when there is one. It does not wait for that: until they are ready,
// delayed jobs are in the hop queue and in the hands of movers.
func (h *handle) ladder(ctx context.Context, n *names) (*ladder, error) {
	if known, ok := h.ladders.Load(n.queue); ok {
		l := known.(*ladder)
		select {
		case <-l.raised:
			if l.err != nil {
				h.ladders.CompareAndDelete(n.queue, known)
				return nil, l.err
			}
		default:
		}
		return l, nil
	}
	// The last one to be made tells whether all are there.
	last := n.level(levels[len(levels)-1])
	err := h.call(ctx, func(ch *amqp091.Channel) error {
		_, err := passive(ch, last)
		return err
	})
	l := &ladder{raised: make(chan struct{})}
	switch {
	case err == nil:
		close(l.raised)
		known, _ := h.ladders.LoadOrStore(n.queue, l)
		return known.(*ladder), nil
	case !isGone(err):
		return nil, err
	}
	if known, found := h.ladders.LoadOrStore(n.queue, l); found {
		return known.(*ladder), nil
	}
	h.tasks.Go(func() {
		defer close(l.raised)
		l.err = h.call(h.life, func(ch *amqp091.Channel) error { return raise(h.life, ch, n) })
		if isGone(l.err) && sleep(h.life, maturity) == nil {
			_ = h.call(h.life, func(ch *amqp091.Channel) error { return deleteAll(h.life, ch, n.levels()) })
		}
		if l.err != nil {
			return
		}
		if sleep(h.life, maturity) != nil {
			l.err = errClosed
		}
	})
	return l, nil
}

// raise makes the levels of a queue.
func raise(ctx context.Context, ch *amqp091.Channel, n *names) error {
	for _, d := range levels {
		// Somebody may have deleted the queue, and levels must not outlive it.
		_, err := passive(ch, n.main)
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = declare(ch, n.level(d), delayed(d, n.hop))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
