package redis

import (
	"context"
	"errors"
	"strconv"

	"github.com/batch-go/batch/driver"
)

// format is the version of what docs/wire-redis.md describes.
const format = "1"

// Declare checks that nothing else uses the queue's keys, and stores the version
// of the format. Streams and groups are made with the first job that needs them.
func (d *Driver) Declare(ctx context.Context, queue string) error {
	n := d.names(queue)
	raw, err := d.conn.eval(ctx, declareScript, append(declareScript.args(n, 1, n.meta), format))
	if err != nil {
		return fail("declare", queue, err)
	}
	r := reader{buf: raw}
	if conflict := r.string(); conflict != "" || r.err != nil {
		return faults.Refuse("declare", queue, driver.ErrConflict, errors.New(conflict), "use another queue name or database, or remove the key")
	}
	return nil
}

// DeleteQueue removes the queue. Dedup keys are forgotten with it.
func (d *Driver) DeleteQueue(ctx context.Context, queue string) error {
	n := d.names(queue)
	args := append(deleteScript.args(n, 1, n.meta), strconv.FormatInt(maxDedupWindow.Milliseconds(), 10))
	_, err := d.conn.eval(ctx, deleteScript, args)
	return fail("delete queue", queue, err)
}

// Depth counts the jobs by state, in constant time.
func (d *Driver) Depth(ctx context.Context, queue string) (driver.Depth, error) {
	raw, err := d.conn.eval(ctx, depthScript, depthScript.args(d.names(queue), 0))
	if err != nil {
		return driver.Depth{}, fail("depth", queue, err)
	}
	r := reader{buf: raw}
	if r.array() != 4 {
		return driver.Depth{}, fail("depth", queue, errReply)
	}
	depth := driver.Depth{Waiting: r.int(), Scheduled: r.int(), Running: r.int(), Dead: r.int()}
	return depth, fail("depth", queue, r.err)
}
