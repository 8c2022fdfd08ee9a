package amqp

import (
	"context"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// Purge removes the jobs that wait, all in one step of the broker. What the broker
// has pushed to a consumer is running, and stays, also what no Receive has returned.
func (b *base) Purge(ctx context.Context, queue string) (int, error) {
	const op = "purge"
	if err := b.calls.Begin(ctx); err != nil {
		return 0, fail(op, queue, err)
	}
	defer b.calls.End()
	n := b.names(queue)
	removed := make(chan int, 1) // the task may go on when the caller has returned
	err := b.call(ctx, func(ch *amqp091.Channel) error {
		count, err := ch.QueuePurge(n.main, false)
		removed <- count
		return err
	})
	if err != nil {
		return 0, fail(op, queue, err)
	}
	return <-removed, nil
}
