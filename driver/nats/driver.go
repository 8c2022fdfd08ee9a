package nats

import (
	"context"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
)

// Name is the driver's name.
const Name = "nats"

// Neither [driver.Prioritizer] nor [driver.Grouper]: JetStream's priorities are
// those of consumers, not of messages, and it has no ordered groups.
var (
	_ driver.Driver         = (*Driver)(nil)
	_ driver.Delayer        = (*Driver)(nil)
	_ driver.Deduplicator   = (*Driver)(nil)
	_ driver.AtomicEnqueuer = (*Driver)(nil)
	_ driver.Inspector      = (*Driver)(nil)
	_ driver.Pauser         = (*Driver)(nil)
)

const (
	// ackWait is the lease that the server gives a delivery by itself, the same
	// as the core's default. Other leases take one more message for each job.
	ackWait = 30 * time.Second
	// minLease: the server looks for ended leases by a timer that is exact, but a
	// holder must get three extensions through in this time.
	minLease = time.Second
	maxLease = 24 * time.Hour
	// maxDelay: ten years are enough to tell a bug from a plan.
	maxDelay = 10 * 365 * 24 * time.Hour
	// batchSize is for everything that has no limit of the server's. Of a
	// thousand messages in one flight, none waits for more than some 10 ms.
	batchSize = 1000
	// atomicSize is what the server takes in one atomic batch
	// (streamMaxAtomicBatchSize in server/stream.go of nats-server 2.12), two
	// messages for a job with a dedup key.
	atomicSize  = 1000
	atomicLimit = atomicSize / 2
	// enqueueBytes bounds what is under way in one call, so that the server's
	// limit for what a client may have pending (max_pending, 64 MB) is not met.
	enqueueBytes = 16 << 20
	// headerRoom is what headers take at most: the server counts their length in
	// 16 bits. Half of it is the application's, which base64 makes a third
	// longer; the rest is for the driver's and the server's own.
	headerRoom = 64 << 10
	maxHeaders = headerRoom / 2

	defaultDedupWindow = 24 * time.Hour
	maxDedupWindow     = 30 * 24 * time.Hour
)

// limitsFor are the limits on a server that takes messages of maxPayload bytes.
func limitsFor(maxPayload int64) driver.Limits {
	body := int(min(maxPayload, 64<<20)) - headerRoom
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
	link    *link
	nc      *natsgo.Conn
	owned   bool   // the connection is ours to close
	apiRoot string // "$JS.API." or that of a domain
	options Options
	info    driver.Info
	clock   clock
	// ended is called at the end of Close, for a server in the process.
	ended func(context.Context) error

	queues sync.Map // queue name to *names
	// batches has a place for each atomic batch that may be under way: the server
	// takes 50 at one time for a stream, from all processes.
	batches chan struct{}

	mu        sync.Mutex // guards following
	closed    bool
	consumers map[*consumer]struct{}
	calls     sync.WaitGroup // calls under way; Add only while not closed
	finished  chan struct{}  // closed when Close has ended; nil before it began
}

// Info describes the driver and the server.
func (d *Driver) Info() driver.Info { return d.info }

// MaxDelay is ten years.
func (d *Driver) MaxDelay() time.Duration { return maxDelay }

// DedupWindow is how long a dedup key is remembered.
func (d *Driver) DedupWindow() time.Duration { return d.options.DedupWindow }

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

// enter begins a call: not after Close, and not on a ctx that ended. A call that
// was begun ends with leave.
func (d *Driver) enter(ctx context.Context, op, queue string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return closed(op, queue)
	}
	if err := ctx.Err(); err != nil {
		return fail(op, queue, notBegun{err})
	}
	d.calls.Add(1)
	return nil
}

func (d *Driver) leave() { d.calls.Done() }

// closed is the error of an operation after Close.
func closed(op, queue string) error {
	return &driver.Error{Driver: Name, Op: op, Queue: queue, Kind: driver.ErrClosed, Fate: driver.FateNotStored}
}

// Close ends the connection and the consumers on it. It waits for the calls
// under way until ctx ends and then cuts them off; a connection that was passed
// to [New] stays open.
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

	// The consumers leave while calls still work.
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
	d.link.close()
	<-idle
	if d.owned {
		closeConn(d.nc)
	}
	if d.ended != nil {
		if e := d.ended(ctx); err == nil {
			err = e
		}
	}
	return err
}
