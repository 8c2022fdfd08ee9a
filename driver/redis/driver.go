package redis

import (
	"context"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
)

// Name is the driver's name.
const Name = "redis"

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
)

const (
	// maxBody: Redis takes 512 MiB (proto-max-bulk-len), but a body passes
	// through Lua and is copied there, and one command keeps all others waiting:
	// 16 MiB are some 10 ms.
	maxBody = 16 << 20
	// maxHeaders: as HTTP servers have it; headers are for metadata.
	maxHeaders = 64 << 10
	// batchSize: at 3 µs for a job in a script, 1000 keep the server for 3 to
	// 5 ms. Half as many are no less efficient; ten times as many would be felt
	// by its other clients, and Lua's unpack ends near 8000.
	batchSize = 1000
	// maxDelay: a score of a sorted set is exact for milliseconds of 280 000
	// years; ten years are enough to tell a bug from a plan.
	maxDelay = 10 * 365 * 24 * time.Hour
	// minLease: recovery looks every quarter of a lease; below this it would
	// poll the server.
	minLease = 100 * time.Millisecond
	maxLease = 24 * time.Hour

	defaultDedupWindow = 24 * time.Hour
	maxDedupWindow     = 30 * 24 * time.Hour
)

var limits = driver.Limits{
	MaxBody:      maxBody,
	MaxHeaders:   maxHeaders,
	EnqueueBatch: batchSize,
	EnqueueBytes: maxBody + maxHeaders,
	// One call is in the server's hands while the next is on its way.
	Publishers:    2,
	ReceiveBatch:  batchSize,
	Receivers:     4,
	SettleBatch:   batchSize,
	ExtendBatch:   batchSize,
	MinLease:      minLease,
	MaxLease:      maxLease,
	MaxRetryDelay: maxDelay,
}

// Driver is a connection to Redis or Valkey. It is made by [Open] or [New].
type Driver struct {
	client      goredis.UniversalClient
	owned       bool // the client is ours to close
	dedupWindow time.Duration
	// block is how long a BLPOP waits.
	block time.Duration
	info  driver.Info

	queues sync.Map // queue name to *keys

	mu        sync.Mutex // guards following
	closed    bool
	consumers map[*consumer]struct{}
	calls     sync.WaitGroup // commands under way; Add only while not closed
	finished  chan struct{}  // closed when Close has ended; nil before it began
}

// Info describes the driver and the server.
func (d *Driver) Info() driver.Info { return d.info }

// PriorityLevels is five: each level has its own stream.
func (d *Driver) PriorityLevels() int { return len(levelNames) }

// MaxDelay is ten years.
func (d *Driver) MaxDelay() time.Duration { return maxDelay }

// DedupWindow is how long a dedup key is remembered.
func (d *Driver) DedupWindow() time.Duration { return d.dedupWindow }

// MaxGroups is zero: a group is a field of a hash, and only memory bounds them.
func (d *Driver) MaxGroups() int { return 0 }

// AtomicLimit is the size of a batch: one script stores it.
func (d *Driver) AtomicLimit() int { return batchSize }

// keys returns the names of a queue's keys.
func (d *Driver) keys(queue string) *keys {
	if k, ok := d.queues.Load(queue); ok {
		return k.(*keys)
	}
	k, _ := d.queues.LoadOrStore(queue, newKeys(queue))
	return k.(*keys)
}

// enter counts a command as under way; false after Close.
func (d *Driver) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.calls.Add(1)
	return true
}

func (d *Driver) leave() { d.calls.Done() }

// Close ends the connection and the consumers on it. It waits for the calls
// under way until ctx ends and then cuts their connections; a client that was
// passed to [New] stays open, and calls on it end by their own timeout.
func (d *Driver) Close(ctx context.Context) error {
	d.mu.Lock()
	if d.finished != nil {
		finished := d.finished
		d.mu.Unlock()
		select {
		case <-finished:
		case <-ctx.Done():
		}
		return nil
	}
	d.finished = make(chan struct{})
	consumers := make([]*consumer, 0, len(d.consumers))
	for c := range d.consumers {
		consumers = append(consumers, c)
	}
	d.mu.Unlock()
	defer close(d.finished)

	// The consumers leave while commands still work.
	var left sync.WaitGroup
	for _, c := range consumers {
		left.Go(func() { _ = c.Close(ctx) })
	}
	left.Wait()

	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	idle := make(chan struct{})
	go func() {
		d.calls.Wait()
		close(idle)
	}()
	var err error
	select {
	case <-idle:
	case <-ctx.Done():
		err = fail("close", "", ctx.Err())
	}
	if d.owned {
		// This closes connections in use as well, so that the rest ends now.
		_ = d.client.Close()
		<-idle
	}
	return err
}
