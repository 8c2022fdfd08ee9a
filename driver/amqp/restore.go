package amqp

import (
	"context"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// A queue is there if RabbitMQ's queue for its waiting jobs is: only Declare makes it,
// and DeleteQueue deletes it first. Any other part that somebody removed is made again
// when it is missed. What was in it is lost.

// declareQueue makes the queues of n exist, but for the delay queues, and but for the
// waiting queue if that is there.
func (b *base) declareQueue(ctx context.Context, ch *amqp091.Channel, n *names, there bool) error {
	main := quorumArgs(n.dead)
	if b.config.shape == shapeClassic {
		main = classicArgs(n.dead, b.hasTimeout)
	}
	for i, q := range []struct {
		name string
		args amqp091.Table
	}{{n.main, main}, {n.hop, quorumArgs(n.dead)}, {n.dead, quorumArgs(n.hop)}} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if i == 0 && there {
			continue
		}
		if err := declare(ch, q.name, q.args); err != nil {
			return err
		}
	}
	return nil
}

// restore makes the parts of a queue exist that are neither its waiting queue nor delay
// queues. If the queue itself does not exist, the error says so, and nothing is made.
func (b *base) restore(ctx context.Context, n *names) error {
	declared := false
	err := b.call(ctx, func(ch *amqp091.Channel) error {
		_, err := lookUp(ch, n.main)
		if err == nil {
			err = b.declareQueue(ctx, ch, n, true)
		}
		if err == nil {
			declared = true
			_, err = lookUp(ch, n.main) // they must not outlive it
		}
		return err
	})
	if isGone(err) && declared { // in this order: if ctx has ended, the task may still set it
		_ = b.call(ctx, func(ch *amqp091.Channel) error { return deleteAll(ctx, ch, []string{n.hop, n.dead}) })
	}
	return err
}

// exist asks whether all of some queues exist.
func (b *base) exist(ctx context.Context, names []string) (bool, error) {
	err := b.call(ctx, func(ch *amqp091.Channel) error {
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				return err
			}
			if _, err := lookUp(ch, name); err != nil {
				return err
			}
		}
		return nil
	})
	if isGone(err) {
		return false, nil
	}
	return err == nil, err
}
