package batch

import (
	"context"
	"time"

	"github.com/batch-go/batch/driver"
)

// custody is a lane's responsibility for the tasks that the broker has handed to it: their
// leases and their permits.
type custody struct {
	consumer driver.Consumer
	keeper   *keeper
	buffer   *buffer
	tally    *tally
	// closing ends when the broker is not waited for any more.
	closing context.Context
}

// abandonTime bounds how long the broker is told that tasks are given up. It is a round
// trip or none, and nothing depends on it that would not happen later by itself.
const abandonTime = time.Second

// finish ends the responsibility for tasks: their leases are no longer extended, and
// their permits are free again.
func (c *custody) finish(tasks ...*task) {
	if len(tasks) == 0 {
		return
	}
	c.keeper.remove(tasks...)
	c.buffer.release(len(tasks))
}

// abandon ends the responsibility for tasks that cannot be settled. The broker still has
// the jobs, and hands them out again: at once if the lease is the connection, and
// otherwise when their leases end, which are no longer extended.
func (c *custody) abandon(tasks []*task) {
	c.tally.abandon(tasks)
	c.keeper.remove(tasks...) // before the broker is told, as that ends the leases
	c.giveUp(c.closing, tasks)
	c.buffer.release(len(tasks))
}

// giveUp tells the broker that nothing more will be done with tasks.
func (c *custody) giveUp(ctx context.Context, tasks []*task) {
	ctx, cancel := context.WithTimeout(ctx, abandonTime)
	defer cancel()
	deliveries := make([]*driver.Delivery, len(tasks))
	for i, t := range tasks {
		deliveries[i] = t.delivery
	}
	c.consumer.Abandon(ctx, deliveries)
}
