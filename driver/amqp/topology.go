package amqp

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// names are what the broker calls the queues that make up one of batch's. A
// queue's name has no dot, so that no two of them are alike.
type names struct {
	queue string // batch's own name
	main  string // waiting and running jobs
	dead  string // dead letters
	hop   string // delayed jobs whose level is over, for the next step
	lock  string // exists while somebody holds the dead letters
}

func namesOf(queue string) *names {
	base := "batch." + queue
	return &names{queue: queue, main: base, dead: base + ".dead", hop: base + ".hop", lock: base + ".lock"}
}

// level is the name of a queue of the ladder.
func (n *names) level(d time.Duration) string {
	return n.main + ".delay." + strconv.FormatInt(d.Milliseconds(), 10)
}

// levels are the names of all queues of the ladder.
func (n *names) levels() []string {
	all := make([]string, len(levels))
	for i, d := range levels {
		all[i] = n.level(d)
	}
	return all
}

// names returns the broker's names of a queue.
func (h *handle) names(queue string) *names {
	if n, ok := h.queues.Load(queue); ok {
		return n.(*names)
	}
	n, _ := h.queues.LoadOrStore(queue, namesOf(queue))
	return n.(*names)
}

// The arguments of queues. Two programs that declare one queue must agree on all
// of them: they are part of the format, and documented in docs/wire-amqp.md.
var (
	// quorum: replicated, and without the limit of 20 deliveries after which
	// RabbitMQ 4 drops a message: what becomes of it is for the core to say.
	// https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling
	quorum = amqp091.Table{"x-queue-type": "quorum", "x-delivery-limit": int64(-1)}
	// classic orders by priority on every version.
	classic = amqp091.Table{"x-queue-type": "classic", "x-max-priority": int64(5)}
)

// delayed are the arguments of a level: what has been there for its time goes on
// to the hop queue. Dead-lettering at least once keeps a message until the hop
// queue has confirmed it, and needs the overflow setting, though the queue has no
// maximum: https://www.rabbitmq.com/docs/quorum-queues#dead-lettering
func delayed(d time.Duration, hop string) amqp091.Table {
	return amqp091.Table{
		"x-queue-type":              "quorum",
		"x-delivery-limit":          int64(-1),
		"x-message-ttl":             d.Milliseconds(),
		"x-dead-letter-exchange":    "",
		"x-dead-letter-routing-key": hop,
		"x-dead-letter-strategy":    "at-least-once",
		"x-overflow":                "reject-publish",
	}
}

// declare makes a durable queue exist.
func declare(ch *amqp091.Channel, name string, args amqp091.Table) error {
	_, err := ch.QueueDeclare(name, true, false, false, false, args)
	return err
}

// passive looks at a queue.
func passive(ch *amqp091.Channel, name string) (amqp091.Queue, error) {
	return ch.QueueDeclarePassive(name, true, false, false, false, nil)
}

// declareAll makes the queues of n exist, but for the ladder.
func (h *handle) declareAll(ctx context.Context, ch *amqp091.Channel, n *names) error {
	main := quorum
	if h.config.shape == shapeClassic {
		main = classic
	}
	for _, q := range []struct {
		name string
		args amqp091.Table
	}{{n.main, main}, {n.hop, quorum}, {n.dead, quorum}} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := declare(ch, q.name, q.args); err != nil {
			return err
		}
	}
	return nil
}

// Declare makes the queue exist: its waiting queue, its dead letters and the
// place where delayed jobs change levels.
func (h *handle) Declare(ctx context.Context, queue string) error {
	const op = "declare"
	if err := h.enter(ctx); err != nil {
		return fail(op, queue, err)
	}
	defer h.leave()
	n := h.names(queue)
	// The publishing connection is what tells whether it has to be declared again
	// before the next enqueue.
	l, err := h.pub.link(ctx)
	if err == nil {
		err = h.call(ctx, func(ch *amqp091.Channel) error { return h.declareAll(ctx, ch, n) })
	}
	if err == nil {
		h.ladders.Delete(queue) // it may have been deleted with the queue
		h.declared.Store(queue, l)
	}
	return fail(op, queue, err)
}

// DeleteQueue removes the queue, its dead letters and its delayed jobs. Consumers
// are told by the broker. It takes up to two seconds more where there are delayed
// jobs: see age.
func (h *handle) DeleteQueue(ctx context.Context, queue string) error {
	const op = "delete queue"
	if err := h.enter(ctx); err != nil {
		return fail(op, queue, err)
	}
	defer h.leave()
	n := h.names(queue)
	if err := h.age(ctx, n); err != nil {
		return fail(op, queue, err)
	}
	h.declared.Delete(queue)
	h.ladders.Delete(queue)
	all := append([]string{n.main}, n.levels()...)
	all = append(all, n.hop, n.dead)
	err := h.call(ctx, func(ch *amqp091.Channel) error { return deleteAll(ctx, ch, all) })
	return fail(op, queue, err)
}

// deleteAll deletes queues. To RabbitMQ one that does not exist is no error.
func deleteAll(ctx context.Context, ch *amqp091.Channel, all []string) error {
	for _, name := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := ch.QueueDelete(name, false, false, false); err != nil {
			return err
		}
	}
	return nil
}

// call runs RPCs on a channel of their own on the consuming connection, which
// the broker does not block when it is short of memory. The library's calls have
// no ctx: when that ends, the call is left behind, and ends with its reply or
// the connection.
func (h *handle) call(ctx context.Context, do func(ch *amqp091.Channel) error) error {
	l, err := h.sub.link(ctx)
	if err != nil {
		return err
	}
	return h.await(ctx, func() error {
		ch, err := l.conn.Channel()
		if err != nil {
			return lostCall(l, err)
		}
		err = lostCall(l, do(ch))
		_ = ch.Close() // the error closed it, or nothing depends on it any more
		return err
	})
}

// lostCall says why a call failed whose connection ended.
func lostCall(l *link, err error) error {
	if !errors.Is(err, amqp091.ErrClosed) {
		return err
	}
	if !l.alive() {
		<-l.ended
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.err != nil {
			return fmt.Errorf("%w: %w", err, l.err)
		}
	}
	return err
}

// await runs do beside the caller, who leaves when ctx ends.
func (h *handle) await(ctx context.Context, do func() error) error {
	done := make(chan error, 1)
	h.tasks.Go(func() { done <- do() })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
