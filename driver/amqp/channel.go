package amqp

import (
	"context"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// declare makes a durable queue exist.
func declare(ch *amqp091.Channel, name string, args amqp091.Table) error {
	_, err := ch.QueueDeclare(name, true, false, false, false, args)
	return err
}

// lookUp finds a queue, and how many messages in it are ready.
func lookUp(ch *amqp091.Channel, name string) (amqp091.Queue, error) {
	return ch.QueueDeclarePassive(name, true, false, false, false, nil)
}

// deleteAll deletes queues. RabbitMQ accepts names of queues that do not exist.
func deleteAll(ctx context.Context, ch *amqp091.Channel, names []string) error {
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := ch.QueueDelete(name, false, false, false); err != nil {
			return err
		}
	}
	return nil
}

// consumeFrom subscribes to a queue with manual acknowledgement. Prefetch 0 is no
// limit. With timeout the consumer sets ackTimeout, which not every queue accepts.
func consumeFrom(ch *amqp091.Channel, queue, tag string, prefetch int, timeout bool) (<-chan amqp091.Delivery, error) {
	if err := ch.Qos(prefetch, 0, false); err != nil {
		return nil, err
	}
	var args amqp091.Table
	if timeout {
		args = amqp091.Table{timeoutArg: ackTimeout}
	}
	return ch.Consume(queue, tag, false, false, false, false, args)
}
