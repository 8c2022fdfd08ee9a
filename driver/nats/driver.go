package nats

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/lifecycle"
)

// Driver has no method of [driver.Prioritizer] or [driver.Grouper]: JetStream's
// priorities are those of consumers, not of messages, and it has no ordered groups.
var (
	_ driver.Driver         = (*Driver)(nil)
	_ driver.Delayer        = (*Driver)(nil)
	_ driver.Deduplicator   = (*Driver)(nil)
	_ driver.AtomicEnqueuer = (*Driver)(nil)
	_ driver.Inspector      = (*Driver)(nil)
	_ driver.Pauser         = (*Driver)(nil)
	_ driver.Importer       = (*Driver)(nil)
	_ driver.QueueLister    = (*Driver)(nil)
	_ driver.Purger         = (*Driver)(nil)
)

const (
	// ackWait is the lease that the server gives a delivery by itself, the same
	// as the core's default. Other leases take one more message for each job.
	ackWait = 30 * time.Second
	// minLease is enough for a holder to get three extensions through; the
	// server's timer for leases that end is exact.
	minLease = time.Second
	maxLease = 24 * time.Hour
	// maxDelay is ten years: enough to tell a bug from a plan.
	maxDelay = 10 * 365 * 24 * time.Hour
	// batchSize is for everything that has no limit of the server's. None of a
	// thousand requests that are awaited together waits for more than some 10 ms.
	batchSize = 1000
	// atomicSize is what the server takes in one atomic batch
	// (streamMaxAtomicBatchSize in server/stream.go of nats-server 2.12), two
	// messages for a job with a dedup key.
	atomicSize  = 1000
	atomicLimit = atomicSize / 2
	// maxCommits is how many atomic batches of one driver are under way at one
	// time: the server takes 50 for a stream, from all processes.
	maxCommits = 8
	// enqueueBytes bounds what is under way in one call, so that the server's
	// limit for what a client may have pending (max_pending, 64 MB) is not met.
	enqueueBytes = 16 << 20
	// headerSpace is what headers take at most: the server counts their length in
	// 16 bits. Half of it is the application's, which base64 makes a third
	// longer; the rest is for the driver's and the server's own.
	headerSpace = 64 << 10
	maxHeaders  = headerSpace / 2
)

// limitsFor are the limits on a server that takes messages of maxPayload bytes.
func limitsFor(maxPayload int64) driver.Limits {
	body := int(min(maxPayload, 64<<20)) - headerSpace
	return driver.Limits{
		MaxBody:      body,
		MaxHeaders:   maxHeaders,
		EnqueueBatch: batchSize,
		EnqueueBytes: max(enqueueBytes, body+maxHeaders),
		// While one call waits for its last answers, others are on their way.
		Publishers:    4,
		ReceiveBatch:  batchSize,
		Receivers:     4,
		SettleBatch:   batchSize,
		ExtendBatch:   batchSize,
		MinLease:      minLease,
		MaxLease:      maxLease,
		MaxRetryDelay: maxDelay,
	}
}

// Driver is a connection to NATS with JetStream. It is made by [Open] or [New].
type Driver struct {
	conn    *connection
	apiRoot string // "$JS.API." or that of a domain
	options Options
	info    driver.Info
	payload int // how many bytes the server takes in one message, with its headers
	clock   clock
	life    lifecycle.Handle
	queues  sync.Map      // queue name to *names
	commits chan struct{} // has a place for each atomic batch under way
	// clustered says that JetStream runs on several servers of a cluster, as one of its answers told.
	clustered atomic.Bool
	// local and watch are nil if the server is not in this process.
	local *local
	watch *watch
}

// newDriver makes a driver of its parts. It is not checked yet whether the server
// is fit for it.
func newDriver(conn *connection, options Options) *Driver {
	d := &Driver{conn: conn, options: options, apiRoot: "$JS.API.", commits: make(chan struct{}, maxCommits)}
	if options.Domain != "" {
		d.apiRoot = "$JS." + options.Domain + ".API."
	}
	return d
}

// Info describes the driver and the server.
func (d *Driver) Info() driver.Info { return d.info }

// MaxDelay is ten years.
func (d *Driver) MaxDelay() time.Duration { return maxDelay }

// DedupWindow is how long a dedup key is remembered.
func (d *Driver) DedupWindow() time.Duration { return d.options.DedupWindow }

// ImportWindow is that of dedup keys.
func (d *Driver) ImportWindow() time.Duration { return d.options.DedupWindow }

// AtomicLimit is half of what the server takes in one atomic batch, as a job
// with a dedup key needs two messages.
func (d *Driver) AtomicLimit() int { return atomicLimit }

// names returns the names of a queue.
func (d *Driver) names(queue string) *names {
	if n, ok := d.queues.Load(queue); ok {
		return n.(*names)
	}
	n, _ := d.queues.LoadOrStore(queue, newNames(d.options.Prefix, queue))
	return n.(*names)
}

// Close ends the connection and the consumers on it. It waits for the calls
// under way until ctx ends and then cuts them off; a connection that was passed
// to [New] stays open.
func (d *Driver) Close(ctx context.Context) error {
	d.watch.end(ctx)
	return fail("close", "", d.life.Close(ctx, func() (ends bool) {
		d.conn.close()
		d.local.leave()
		return true
	}))
}
