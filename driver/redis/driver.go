package redis

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch/driver"
)

// The driver has every capability.
var (
	_ driver.Driver         = (*Driver)(nil)
	_ driver.Prioritizer    = (*Driver)(nil)
	_ driver.Delayer        = (*Driver)(nil)
	_ driver.Deduplicator   = (*Driver)(nil)
	_ driver.Grouper        = (*Driver)(nil)
	_ driver.AtomicEnqueuer = (*Driver)(nil)
	_ driver.Inspector      = (*Driver)(nil)
	_ driver.Pauser         = (*Driver)(nil)
	_ driver.Importer       = (*Driver)(nil)
	_ driver.QueueLister    = (*Driver)(nil)
	_ driver.Purger         = (*Driver)(nil)
)

// Driver is a connection to Redis or Valkey. It is made by [Open] or [New].
type Driver struct {
	conn        *connection
	info        driver.Info
	dedupWindow time.Duration
	// ears wait for tokens, and the sweeper looks after queues, for all consumers.
	ears    *ears
	sweeper *sweeper
	// eviction tells whether the server has begun to evict keys.
	eviction *eviction

	// noCopy is until when the user is taken to have no right to COPY, in Unix ns; else zero.
	noCopy atomic.Int64

	plains sync.Pool // of *plain
	queues sync.Map  // queue name to *names
}

// Info describes the driver and the server.
func (d *Driver) Info() driver.Info { return d.info }

// PriorityLevels is five: each level has its own stream.
func (d *Driver) PriorityLevels() int { return levelCount }

// MaxDelay is ten years.
func (d *Driver) MaxDelay() time.Duration { return maxDelay }

// DedupWindow is how long a dedup key is remembered at most, and if the message does
// not say.
func (d *Driver) DedupWindow() time.Duration { return d.dedupWindow }

// ImportWindow is that of dedup keys.
func (d *Driver) ImportWindow() time.Duration { return d.dedupWindow }

// MaxGroups is zero: a group is a field of a hash, and only memory bounds them.
func (d *Driver) MaxGroups() int { return 0 }

// AtomicLimit is the size of a batch: one script stores it.
func (d *Driver) AtomicLimit() int { return batchSize }

// Close ends the connection and the consumers on it. It waits for the calls
// under way until ctx ends, and then cuts their connections. A client that was
// passed to [New] stays open, and calls on it end by their own timeout.
func (d *Driver) Close(ctx context.Context) error { return fail("close", "", d.conn.close(ctx)) }

// names returns the keys of a queue.
func (d *Driver) names(queue string) *names {
	if n, ok := d.queues.Load(queue); ok {
		return n.(*names)
	}
	n, _ := d.queues.LoadOrStore(queue, newNames(queue))
	return n.(*names)
}
