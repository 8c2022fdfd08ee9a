package sqs

import (
	"context"

	"github.com/batch-go/batch/driver"
)

// Receive takes jobs that polls have brought, or starts polls and waits for one of
// them to bring some.
func (c *consumer) Receive(ctx context.Context, max int) ([]*driver.Delivery, error) {
	const op = "receive"
	if err := faults.CheckReceive(c.queue, max, maxEntries); err != nil {
		return nil, err
	}
	// The call waits for polls and sends nothing itself, so it needs no ctx that
	// ends with the driver.
	if err := c.base.handle.Begin(ctx); err != nil {
		return nil, fail(op, c.queue, err)
	}
	defer c.base.handle.End()
	c.mu.Lock()
	if c.gate.IsShut() {
		c.mu.Unlock()
		return nil, closed(op, c.queue)
	}
	if taken := c.buffer.take(max); len(taken) > 0 {
		c.mu.Unlock()
		return taken, nil
	}
	w := c.buffer.wait(max)
	c.launch()
	c.mu.Unlock()
	select {
	case s := <-w.served:
		return s.deliveries, s.err
	case <-ctx.Done():
	case <-c.stopped:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if last := c.buffer.giveUp(w); len(last) > 0 {
		return last, nil
	}
	if c.gate.IsShut() {
		return nil, closed(op, c.queue)
	}
	return nil, fail(op, c.queue, ctx.Err())
}
