package amqp

import (
	"context"
	"fmt"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// Extend tells which deliveries are lost. It asks nobody: a delivery is held as
// long as its channel lives, and the end of that is known.
func (c *consumer) Extend(ctx context.Context, deliveries []*driver.Delivery) []error {
	if len(deliveries) == 0 {
		return nil
	}
	const op = "extend"
	if err := begin(ctx, &c.calls); err != nil {
		return fault.All(len(deliveries), fail(op, c.names.queue, err))
	}
	defer c.calls.Exit()
	var errs []error
	for i, d := range deliveries {
		r, err := c.receiptOf(d)
		if err == nil && !r.isHeld() {
			err = errLost
		}
		if err != nil {
			errs = fault.Set(errs, len(deliveries), i, fail(op, c.names.queue, err))
		}
	}
	return errs
}

// Abandon gives deliveries back on the channel on which they came, in the order in
// which they came. That stores nothing, and the broker takes it from a connection that
// does not publish also while it is short of memory. Up to RabbitMQ 4.2, and in a
// queue with priorities, it counts as a lost holder.
func (c *consumer) Abandon(ctx context.Context, deliveries []*driver.Delivery) {
	if begin(ctx, &c.calls) != nil {
		return
	}
	defer c.calls.Exit()
	sessions := make(map[*session][]*receipt)
	for _, d := range deliveries {
		if r, err := c.receiptOf(d); err == nil && r.claim() {
			sessions[r.session] = append(sessions[r.session], r)
		}
	}
	for s, returns := range sessions {
		// The task goes on if ctx ends, and if it fails, the channel is at its end.
		_ = c.base.await(ctx, func() error {
			s.unsubscribe() // or they would be pushed back to this consumer
			return s.hand(nil, returns)
		})
	}
}

// receiptOf is the receipt of a delivery, if it is one of this consumer's.
func (c *consumer) receiptOf(d *driver.Delivery) (*receipt, error) {
	if d != nil {
		if r, ok := d.Receipt.(*receipt); ok && r.session.source == c.source {
			return r, nil
		}
	}
	return nil, fmt.Errorf("%w: it came from another consumer", errLost)
}

// isHeld tells whether the delivery is not settled, and not lost.
func (r *receipt) isHeld() bool {
	r.session.mu.Lock()
	defer r.session.mu.Unlock()
	return !r.session.over && r.state != receiptSettled
}

// claim takes a receipt for settling, if it is held; false if it is not, or if
// another call has claimed it.
func (r *receipt) claim() bool {
	r.session.mu.Lock()
	defer r.session.mu.Unlock()
	if r.session.over || r.state != receiptHeld {
		return false
	}
	r.state = receiptSettling
	return true
}

// unclaim gives a receipt back to the consumer after a failure.
func (r *receipt) unclaim() {
	r.session.mu.Lock()
	defer r.session.mu.Unlock()
	r.state = receiptHeld
}
