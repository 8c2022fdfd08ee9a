package amqp

import (
	"context"
	"fmt"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
)

// Enqueue publishes messages, persistent and mandatory, and waits until the
// broker has confirmed each: of a quorum queue, that a majority of its members
// has it on disk. https://www.rabbitmq.com/docs/confirms
func (h *handle) Enqueue(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	if len(messages) == 0 {
		return nil
	}
	const op = "enqueue"
	if err := h.enter(ctx); err != nil {
		return results(len(messages), fail(op, queue, err))
	}
	defer h.leave()
	n := h.names(queue)
	if err := h.restore(ctx, n); err != nil {
		return results(len(messages), fail(op, queue, notSent{err}))
	}
	now := time.Now()
	items := make([]*publication, 0, len(messages))
	var results []driver.Result
	refuse := func(i int, err error) {
		if results == nil {
			results = make([]driver.Result, len(messages))
		}
		results[i].Err = fail(op, queue, err)
	}
	index := make([]int, 0, len(messages))
	for i, m := range messages {
		if len(m.Body) > maxBody {
			refuse(i, &driver.Error{
				Driver: Name, Op: op, Queue: queue, Kind: driver.ErrTooLarge, Fate: driver.FateNotStored,
				Err: fmt.Errorf("the body has %d bytes, and %d is the limit", len(m.Body), maxBody),
			})
			continue
		}
		item, err := h.place(ctx, n, encode(m, nil), m.Delay, now)
		if err != nil {
			refuse(i, err)
			continue
		}
		items, index = append(items, item), append(index, i)
	}
	h.publish(ctx, items)
	for k, item := range items {
		if item.err != nil {
			refuse(index[k], item.err)
		}
	}
	return results
}

// results are n times one error.
func results(n int, err error) []driver.Result {
	all := make([]driver.Result, n)
	for i := range all {
		all[i].Err = err
	}
	return all
}

// restore declares a queue again that this handle declared on a connection which
// has since been replaced: the broker may be another one, or may have lost it.
func (h *handle) restore(ctx context.Context, n *names) error {
	declared, ok := h.declared.Load(n.queue)
	if !ok {
		return nil
	}
	l, err := h.pub.live()
	if err != nil {
		return err
	}
	if l != nil && declared == l {
		return nil
	}
	if l == nil {
		if l, err = h.pub.link(ctx); err != nil {
			return err
		}
	}
	err = h.call(ctx, func(ch *amqp091.Channel) error { return h.declareAll(ctx, ch, n) })
	if err == nil {
		h.ladders.Delete(n.queue)
		h.declared.CompareAndSwap(n.queue, declared, l)
	}
	return err
}
