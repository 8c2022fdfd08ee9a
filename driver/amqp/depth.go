package amqp

import (
	"context"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
)

// Depth asks for the number of ready messages in each of the queue's parts. How
// many are in the hands of consumers the protocol does not tell. A delayed job
// that changes levels is in the hands of a mover for a moment and not counted.
func (h *handle) Depth(ctx context.Context, queue string) (driver.Depth, error) {
	const op = "depth"
	if err := h.enter(ctx); err != nil {
		return driver.Depth{}, fail(op, queue, err)
	}
	defer h.leave()
	n := h.names(queue)
	depth := driver.Depth{Running: driver.Unknown}
	err := h.call(ctx, func(ch *amqp091.Channel) error {
		for _, part := range []struct {
			name  string
			count *int64
		}{{n.main, &depth.Waiting}, {n.dead, &depth.Dead}, {n.hop, &depth.Scheduled}} {
			if err := count(ctx, ch, part.name, part.count); err != nil {
				return err
			}
		}
		for _, d := range levels {
			if err := count(ctx, ch, n.level(d), &depth.Scheduled); err != nil {
				if isGone(err) {
					return nil // nothing was ever delayed
				}
				return err
			}
		}
		return nil
	})
	if err != nil {
		return driver.Depth{}, fail(op, queue, err)
	}
	return depth, nil
}

func count(ctx context.Context, ch *amqp091.Channel, name string, n *int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q, err := passive(ch, name)
	if err == nil {
		*n += int64(q.Messages)
	}
	return err
}
