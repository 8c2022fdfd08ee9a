package amqp

import (
	"context"
	"errors"
	"strings"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
)

// Declare makes the queue exist: RabbitMQ's queues for the jobs, for the dead
// letters, and for jobs that change from one delay queue to the next.
func (b *base) Declare(ctx context.Context, queue string) error {
	const op = "declare"
	if err := b.calls.Begin(ctx); err != nil {
		return fail(op, queue, err)
	}
	defer b.calls.End()
	n := b.names(queue)
	err := b.call(ctx, func(ch *amqp091.Channel) error { return b.declareQueue(ctx, ch, n, false) })
	if b.config.shape == shapeClassic && !b.hasTimeout && isTimeout(err) {
		err = b.call(ctx, func(ch *amqp091.Channel) error { return b.declareQueue(ctx, ch, n, true) })
	}
	if err == nil {
		b.delays.Delete(queue) // they may have been deleted with the queue
	}
	return fail(op, queue, err)
}

// isTimeout tells whether err says that a queue was declared with another consumer
// timeout, which alone is different about a classic queue from before 4.3.
func isTimeout(err error) bool {
	var reply *amqp091.Error
	return errors.As(err, &reply) && reply.Code == amqp091.PreconditionFailed && strings.Contains(reply.Reason, "inequivalent arg '"+timeoutArg+"'")
}

// DeleteQueue removes the queue, its dead letters and its delayed jobs. The broker
// tells the consumers. If there are delay queues, it may first wait for up to two
// seconds until they are that old: RabbitMQ may fail when it deletes younger ones.
func (b *base) DeleteQueue(ctx context.Context, queue string) error {
	const op = "delete queue"
	if err := b.calls.Begin(ctx); err != nil {
		return fail(op, queue, err)
	}
	defer b.calls.End()
	n := b.names(queue)
	if err := b.awaitMinAge(ctx, n); err != nil {
		return fail(op, queue, err)
	}
	b.delays.Delete(queue)
	all := append([]string{n.main}, delayNames(n)...)
	all = append(all, n.hop, n.dead)
	err := b.call(ctx, func(ch *amqp091.Channel) error { return deleteAll(ctx, ch, all) })
	return fail(op, queue, err)
}

// Depth asks for the number of ready messages in each of the queue's parts.
// Running is unknown: the protocol does not tell how many messages consumers hold,
// nor how long any has been waiting. A delayed job is not counted for the moment in
// which a consumer moves it from one delay queue to the next. While some wait for a
// consumer to do that, how many of them are due is unknown: it is in their headers.
func (b *base) Depth(ctx context.Context, queue string) (driver.Depth, error) {
	const op = "depth"
	if err := b.calls.Begin(ctx); err != nil {
		return driver.Depth{}, fail(op, queue, err)
	}
	defer b.calls.End()
	n := b.names(queue)
	depth := driver.Depth{Running: driver.UnknownCount}
	parts := append([]string{n.main, n.dead, n.hop}, delayNames(n)...)
	const firstDelay = 3
	counts := []*int64{&depth.Waiting, &depth.Dead, &depth.Scheduled}
	i := 0
	next := func(ch *amqp091.Channel) error {
		for ; i < len(parts); i++ {
			if i == firstDelay && depth.Scheduled > 0 {
				depth.Due = driver.UnknownCount
			}
			if err := count(ctx, ch, parts[i], counts[min(i, firstDelay-1)]); err != nil {
				return err
			}
		}
		return nil
	}
	for {
		err := b.call(ctx, next)
		if err == nil {
			break
		}
		if !isGone(err) || i == 0 {
			return driver.Depth{}, fail(op, queue, err)
		}
		// Somebody removed this part; or, mostly, nothing was ever delayed, and then the
		// last one is missing, too.
		if i == firstDelay {
			there, err := b.exist(ctx, parts[len(parts)-1:])
			if err != nil {
				return driver.Depth{}, fail(op, queue, err)
			}
			if !there {
				break
			}
		}
		i++
	}
	if depth.Waiting > 0 {
		depth.Age = driver.UnknownAge
	}
	return depth, nil
}

// count adds the ready messages of a queue to n.
func count(ctx context.Context, ch *amqp091.Channel, name string, n *int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q, err := lookUp(ch, name)
	if err == nil {
		*n += int64(q.Messages)
	}
	return err
}
