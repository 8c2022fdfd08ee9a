package batch

import "context"

// ListQueues returns the names of the broker's queues, sorted: those that were
// declared by batch, by this or another program and through this type of driver. Its
// cost may grow with all that the broker holds. Only ctx bounds it.
func ListQueues[D QueueLister](ctx context.Context, d D) ([]string, error) {
	if err := checkDriver(d); err != nil {
		return nil, err
	}
	return d.ListQueues(ctx)
}

// Purge removes all waiting jobs of a queue for good, and returns how many. Scheduled
// and running jobs and dead letters stay, and workers go on. If the queue does not
// exist, the error wraps [ErrNotFound]. Only ctx bounds it.
func Purge[D Purger](ctx context.Context, q *Queue[D]) (int, error) {
	hooks := &q.producer.hooks
	start := hooks.now()
	n, err := q.driver.Purge(ctx, q.name)
	hooks.onCall(ctx, OpPurge, q.name, n, start, err)
	return n, err
}
