package amqp

import (
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
	hop   string // delayed jobs between two delay queues
	lock  string // exists while a call works on the dead letters
}

// newNames makes the names of a queue.
func newNames(queue string) *names {
	main := "batch." + queue
	return &names{queue: queue, main: main, dead: main + ".dead", hop: main + ".hop", lock: main + ".lock"}
}

// delay is the name of the delay queue with a TTL.
func (n *names) delay(ttl time.Duration) string {
	return n.main + ".delay." + strconv.FormatInt(ttl.Milliseconds(), 10)
}

// The arguments of queues. Two programs that declare one queue must agree on all
// of them: they are part of the format, and documented in docs/wire-amqp.md.
var (
	// quorumArgs: replicated, and without the limit of 20 deliveries after which
	// RabbitMQ 4 drops a message: what becomes of it is for the core to say.
	// https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling
	quorumArgs = amqp091.Table{"x-queue-type": "quorum", "x-delivery-limit": int64(-1)}
	// classicArgs: ordered by priority on every version.
	classicArgs = amqp091.Table{"x-queue-type": "classic", "x-max-priority": int64(5)}
)

// delayArgs are the arguments of a delay queue: a message that has been there for
// the TTL goes on to the hop queue. Dead-lettering at least once keeps it until
// the hop queue has confirmed it, and needs the overflow setting, though the queue
// has no maximum: https://www.rabbitmq.com/docs/quorum-queues#dead-lettering
func delayArgs(ttl time.Duration, hop string) amqp091.Table {
	return amqp091.Table{
		"x-queue-type":              "quorum",
		"x-delivery-limit":          int64(-1),
		"x-message-ttl":             ttl.Milliseconds(),
		"x-dead-letter-exchange":    "",
		"x-dead-letter-routing-key": hop,
		"x-dead-letter-strategy":    "at-least-once",
		"x-overflow":                "reject-publish",
	}
}
