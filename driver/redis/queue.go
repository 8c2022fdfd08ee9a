package redis

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
)

// format is the version of what docs/wire-redis.md describes.
const format = "1"

// formatField is the field of meta that holds it, as in declare.lua.
const formatField = "format"

// scanCount is how many keys one step of a walk over the database looks at, which keeps
// the server for less than 1 ms.
const scanCount = 1000

// maxAge is the longest age that is believed: longer than there has been Redis.
const maxAge = 100 * 365 * 24 * time.Hour

// Declare checks that nothing else uses the queue's keys, and stores the version
// of the format, by which the queue exists. Streams and groups are made with the
// first job that needs them.
func (d *Driver) Declare(ctx context.Context, queue string) error {
	n := d.names(queue)
	raw, err := d.conn.eval(ctx, declareScript, append(declareScript.args(n, 1), format))
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
	args := append(deleteScript.args(n, 1), strconv.FormatInt(maxDedupWindow.Milliseconds(), 10))
	_, err := d.conn.eval(ctx, deleteScript, args)
	return fail("delete queue", queue, err)
}

// Depth counts the jobs by state. Its cost does not grow with them. The age is not
// known while more than 500 jobs stand behind another of their group.
func (d *Driver) Depth(ctx context.Context, queue string) (driver.Depth, error) {
	raw, err := d.conn.eval(ctx, depthScript, depthScript.args(d.names(queue), 0))
	if err != nil {
		return driver.Depth{}, fail("depth", queue, err)
	}
	r := reader{buf: raw}
	if r.array() != 6 {
		return driver.Depth{}, fail("depth", queue, errReply)
	}
	const most = 1 << 53 // as far as Lua counts
	depth := driver.Depth{Waiting: r.count(most), Scheduled: r.count(most), Running: r.count(most), Dead: r.count(most), Due: r.count(most)}
	depth.Age = driver.UnknownAge
	if age := r.int(); age >= 0 && age <= maxAge.Milliseconds() {
		depth.Age = time.Duration(age) * time.Millisecond
	}
	if r.err != nil {
		return driver.Depth{}, fail("depth", queue, r.err)
	}
	return depth, nil
}

// ListQueues looks for the key that each queue has, on every primary of a cluster. It
// goes through all keys of the database, step by step.
func (d *Driver) ListQueues(ctx context.Context) ([]string, error) {
	var mu sync.Mutex
	found := make(map[string]bool) // a server may tell a key twice
	err := d.conn.onPrimaries(ctx, func(ctx context.Context, c goredis.UniversalClient) error {
		return d.scanMeta(ctx, c, func(queue string) {
			mu.Lock()
			defer mu.Unlock()
			found[queue] = true
		})
	})
	if err != nil {
		return nil, fail("list queues", "", err)
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// scanMeta calls found for each queue that one server keeps.
func (d *Driver) scanMeta(ctx context.Context, c goredis.UniversalClient, found func(queue string)) error {
	for cursor := "0"; ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		raw, err := rawReply(ctx, c, "scan", cursor, "match", metaPattern, "count", scanCount, "type", "hash")
		if err != nil {
			return err
		}
		r := reader{buf: raw}
		r.array()
		cursor = r.string()
		for n := r.array(); n > 0 && r.err == nil; n-- {
			key := r.string()
			queue, ok := queueOfMeta(key)
			if !ok {
				continue
			}
			// Of another program's key of that name the field is missing.
			raw, err := d.conn.process(d.conn.ctx, []any{"hexists", key, formatField})
			if err != nil {
				return err
			}
			has := reader{buf: raw}
			if has.int() == 1 {
				found(queue)
			}
		}
		if r.err != nil || cursor == "0" {
			return r.err
		}
	}
}
