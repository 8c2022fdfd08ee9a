package amqp

import (
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// The arguments of queues. Two programs that declare one queue must agree on all
// of them: they are part of the format, and documented in docs/wire-amqp.md.
//
// Most of them are there for the policies of an operator, which AMQP can neither
// read nor refuse, and which may be made for all queues with none of these in mind.
// Where both say something, RabbitMQ takes the smaller length, TTL, expiry and
// delivery limit, and the argument's dead-letter exchange; of the overflow it takes
// the policy's on quorum queues and the argument's on classic ones. So a length is
// made an error of the producer by x-overflow, and what a policy takes out of a queue
// goes to another one by the dead-letter exchange.

// timeoutArg is the argument of queues and consumers that has ackTimeout.
const timeoutArg = "x-consumer-timeout"

// ackTimeout is how long the broker lets a delivery be held, in ms: 40 days, more
// than any job runs. By default it takes a job back after 30 minutes, and nothing
// that a consumer can do extends that. Up to 4.2 the argument of a queue is above the
// broker's own setting, and as of 4.3 that of a consumer is above all others:
// https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout
const ackTimeout = int64(40 * 24 * 3600 * 1000)

// queueArgs adds to the arguments of one queue those that every queue has. What is taken
// out of it goes to the queue named by next.
func queueArgs(kind, next string, own amqp091.Table) amqp091.Table {
	own["x-queue-type"], own["x-overflow"] = kind, "reject-publish"
	own["x-dead-letter-exchange"], own["x-dead-letter-routing-key"] = "", next
	return own
}

// quorumArgs are those of a quorum queue: replicated, and without the limit of 20
// deliveries after which RabbitMQ 4 takes a message out: what becomes of it is for the
// core to say. https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling
// What a policy takes out of it goes to the queue named by removed.
func quorumArgs(removed string) amqp091.Table {
	return queueArgs("quorum", removed, amqp091.Table{"x-delivery-limit": int64(-1), timeoutArg: ackTimeout})
}

// classicArgs are those of a classic queue: ordered by priority on every version. It
// has a consumer timeout before 4.3 only, and later versions refuse the argument.
func classicArgs(removed string, timeout bool) amqp091.Table {
	args := queueArgs("classic", removed, amqp091.Table{"x-max-priority": int64(5)})
	if timeout {
		args[timeoutArg] = ackTimeout
	}
	return args
}

// delayArgs are the arguments of a delay queue: a message that has been there for
// the TTL goes on to the hop queue. Dead-lettering at least once keeps it until
// the hop queue has confirmed it, and needs the overflow setting:
// https://www.rabbitmq.com/docs/quorum-queues#dead-lettering
func delayArgs(ttl time.Duration, hop string) amqp091.Table {
	return queueArgs("quorum", hop, amqp091.Table{
		"x-delivery-limit": int64(-1), "x-message-ttl": ttl.Milliseconds(), "x-dead-letter-strategy": "at-least-once",
	})
}
