package amqp

import (
	"context"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// A queue is there if RabbitMQ's queue for its waiting jobs is: only Declare makes it,
// and DeleteQueue deletes it first. Any other part that somebody removed is made again
// when it is missed. What was in it is lost.

// restore makes the parts of a queue exist that are neither its waiting queue nor delay
// queues. If the queue itself does not exist, the error says so, and nothing is made.
func (b *base) restore(ctx context.Context, n *names) error {
	parts, args := []string{n.hop, n.dead}, []amqp091.Table{quorumArgs(n.dead), quorumArgs(n.hop)}
	declared := false
	err := b.call(ctx, func(ch *amqp091.Channel) error {
		_, err := lookUp(ch, n.main)
		for i, name := range parts {
			if err == nil {
				err = declare(ch, name, args[i])
			}
		}
		if err == nil {
			declared = true
			_, err = lookUp(ch, n.main) // they must not outlive it
		}
		return err
	})
	if isGone(err) && declared { // in this order: if ctx has ended, the task may still set it
		_ = b.call(ctx, func(ch *amqp091.Channel) error { return deleteAll(ctx, ch, parts) })
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
