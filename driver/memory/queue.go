package memory

import (
	"context"

	"github.com/batch-go/batch/driver"
)

// Declare makes the queue exist. A queue has no properties but its name, so it
// never conflicts.
func (d *base) Declare(ctx context.Context, queue string) error {
	if err := ctx.Err(); err != nil {
		return fail("declare", queue, err)
	}
	return fail("declare", queue, d.broker.declare(d.conn, queue))
}

// DeleteQueue removes the queue with its jobs, dead letters and remembered
// keys. Receive calls that wait on it return driver.ErrNotFound.
func (d *base) DeleteQueue(ctx context.Context, queue string) error {
	if err := ctx.Err(); err != nil {
		return fail("delete queue", queue, err)
	}
	return fail("delete queue", queue, d.broker.delete(d.conn, queue))
}

// ListQueues lists all queues of the broker.
func (d *Driver) ListQueues(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, fail("list queues", "", err)
	}
	names, err := d.broker.names(d.conn)
	return names, fail("list queues", "", err)
}

// Depth counts the queue's jobs. The counts are exact, and none is ever due: a
// scheduled job waits from its time on.
func (d *base) Depth(ctx context.Context, queue string) (driver.Depth, error) {
	q, now, err := d.begin(ctx, "depth", queue)
	if err != nil {
		return driver.Depth{}, err
	}
	defer q.mu.Unlock()
	return driver.Depth{
		Waiting:   int64(q.nready + q.nblocked),
		Scheduled: int64(q.scheduled.n),
		Running:   int64(q.running.n),
		Dead:      int64(q.dead.n),
		Age:       q.waiting.age(now),
	}, nil
}
