package batch

import "context"

// ListQueues returns the names of the broker's queues, sorted: those that were
// declared by batch, by this or another program and through this type of driver. Its
// cost may grow with all that the broker holds.
func ListQueues[D QueueLister](ctx context.Context, d D) ([]string, error) {
	if err := checkDriver(d); err != nil {
		return nil, err
	}
	return d.ListQueues(ctx)
}

// Purge removes all waiting jobs of a queue for good, and returns how many. Scheduled
// and running jobs and dead letters stay, and workers go on. If the queue does not
// exist, the error wraps [ErrNotFound].
func Purge[D Purger](ctx context.Context, q *Queue[D]) (int, error) {
	return q.driver.Purge(ctx, q.name)
}
