package amqp

import (
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/internal/wire"
)

// removal is what RabbitMQ says of a message that it has taken out of a queue by
// itself: because its time there was over, because the queue was full, or because it
// came back too often. Of a delay queue that is the way on. Of another queue it is the
// doing of a policy, as the driver sets none of these bounds.
// https://www.rabbitmq.com/docs/dlx#effects
type removal struct {
	queue, reason string
	at            time.Time
}

// maxQueueName is how long a name in AMQP can be.
const maxQueueName = 255

// removalOf reads the last removal of a message; false if there is none. Anybody can
// send such a header, so that nothing in it is believed unseen.
func removalOf(headers amqp091.Table) (removal, bool) {
	deaths, _ := headers["x-death"].([]any) // the last one first
	if len(deaths) == 0 {
		return removal{}, false
	}
	last, _ := deaths[0].(amqp091.Table)
	queue, _ := last["queue"].(string)
	reason, _ := last["reason"].(string)
	if queue == "" || len(queue) > maxQueueName || !wire.IsToken(reason) {
		return removal{}, false
	}
	at, _ := last["time"].(time.Time)
	return removal{queue: queue, reason: reason, at: bounded(at)}, true
}
