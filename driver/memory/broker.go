package memory

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch/driver"
)

// Options are the bounds of a [Broker]. The zero value of each stands for its
// default.
type Options struct {
	// MaxBytes bounds what all jobs of the broker take together, in bytes:
	// waiting, scheduled, running and dead. Each counts its body, its headers
	// with 64 bytes for each, and 768 bytes for itself. A remembered dedup key
	// counts 160 bytes, its own and those of its job's ID. What does not fit is
	// refused with driver.ErrFull. At least 1 MiB; defaults to 1 GiB, which is
	// room for a million jobs of 300 bytes.
	MaxBytes int64
	// MaxJobs bounds the number of all jobs of the broker likewise. At least 1;
	// defaults to 10 million.
	MaxJobs int
	// DedupWindow is how long a dedup key is remembered, between a second and
	// 30 days. Longer makes late duplicates found and keys take more memory.
	// Defaults to 10 minutes.
	DedupWindow time.Duration
}

const (
	minMaxBytes     = 1 << 20
	defaultMaxBytes = 1 << 30
	defaultMaxJobs  = 10_000_000

	minDedupWindow     = time.Second
	maxDedupWindow     = 30 * 24 * time.Hour
	defaultDedupWindow = 10 * time.Minute
)

// The limits of the driver.
const (
	// maxBody is a protection against mistakes: a larger body works as well, but
	// is no job. It is less where MaxBytes is.
	maxBody = 64 << 20
	// maxHeaders is ample for 100 headers of tracing and routing; what is larger
	// belongs in the body.
	maxHeaders = 64 << 10
	// maxBatch bounds what one call does under its queue's lock: a thousand jobs
	// hold it for about a fifth of a millisecond. Larger batches gain nothing,
	// because the lock's cost has vanished at 64.
	maxBatch = 1000
	// minLease is far above the scheduler's delays, so that a lease that is
	// extended at a third of its time holds.
	minLease = 10 * time.Millisecond
	maxLease = 24 * time.Hour
	// maxDelay bounds delays and retries. Clocks of 64 bits carry 292 years.
	maxDelay = 10 * 366 * 24 * time.Hour
)

// withDefaults fills in what is zero.
func (o Options) withDefaults() Options {
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.MaxJobs == 0 {
		o.MaxJobs = defaultMaxJobs
	}
	if o.DedupWindow == 0 {
		o.DedupWindow = defaultDedupWindow
	}
	return o
}

// validate is nil, or an error that wraps driver.ErrConfig.
func (o Options) validate() error {
	var err error
	switch {
	case o.MaxBytes < minMaxBytes:
		err = fmt.Errorf("MaxBytes is %d, which is less than %d", o.MaxBytes, minMaxBytes)
	case o.MaxJobs < 1:
		err = fmt.Errorf("MaxJobs is %d, which is less than 1", o.MaxJobs)
	case o.DedupWindow < minDedupWindow || o.DedupWindow > maxDedupWindow:
		err = fmt.Errorf("DedupWindow is %s, which is not from %s to %s", o.DedupWindow, minDedupWindow, maxDedupWindow)
	default:
		return nil
	}
	return refuse("open", "", driver.ErrConfig, err, "")
}

// Broker is a store of jobs in memory. [Broker.Open] makes a handle on it. Its
// methods may be called concurrently with each other and with those of its
// handles.
//
// Locks are taken in this order: names.mu, Broker.mu, queue.mu, room.mu. None
// is held while waiting for anything but the next.
type Broker struct {
	options Options
	limits  driver.Limits
	// shared is the name by which memory://name finds the broker, or empty.
	shared string
	epoch  time.Time
	room   room
	// swept is when sweep last ran.
	swept atomic.Int64

	mu      sync.RWMutex // guards following
	queues  map[string]*queue
	handles map[*Driver]struct{}
	over    bool // the last handle of a shared broker was closed
}

// NewBroker makes an empty broker. It returns an error that wraps
// [driver.ErrConfig] if an option is out of its bounds.
func NewBroker(options Options) (*Broker, error) {
	options = options.withDefaults()
	if err := options.validate(); err != nil {
		return nil, err
	}
	return newBroker(options, ""), nil
}

func newBroker(options Options, shared string) *Broker {
	// One message of the largest size fits in an empty broker.
	body := min(maxBody, options.MaxBytes-maxHeaders-jobOverhead-100*headerOverhead)
	return &Broker{
		options: options,
		shared:  shared,
		epoch:   time.Now(),
		room:    room{maxBytes: options.MaxBytes, maxJobs: options.MaxJobs},
		queues:  make(map[string]*queue),
		handles: make(map[*Driver]struct{}),
		limits: driver.Limits{
			MaxBody:       int(body),
			MaxHeaders:    maxHeaders,
			EnqueueBatch:  maxBatch,
			EnqueueBytes:  int(body) + maxHeaders,
			Publishers:    1,
			ReceiveBatch:  maxBatch,
			Receivers:     1,
			SettleBatch:   maxBatch,
			ExtendBatch:   maxBatch,
			MinLease:      minLease,
			MaxLease:      maxLease,
			MaxRetryDelay: maxDelay,
		},
	}
}

// Open makes a handle on the broker, also after a [Broker.Crash]. It fails with
// driver.ErrClosed only on a broker that was opened by memory://name and whose
// last handle was closed.
func (b *Broker) Open() (*Driver, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return nil, refuse("open", "", driver.ErrClosed, nil, "the named broker ended with its last handle")
	}
	d := &Driver{b: b}
	b.handles[d] = struct{}{}
	return d, nil
}

// Crash does what the crash and restart of a broker does. All handles are cut:
// calls that have not taken effect, and all later ones, fail with
// driver.ErrUnavailable and driver.FateNotStored, and Receive calls that wait
// return. What is confirmed is kept; the package's documentation says what that
// is. All leases end: jobs that were delivered and not settled are waiting
// again, with their Redeliveries counted up, before Crash returns. Open gives a
// handle on what is left.
func (b *Broker) Crash() {
	b.mu.Lock()
	defer b.mu.Unlock()
	// The handles are cut before any queue is touched, and every operation looks
	// at its handle under its queue's lock: so no queue takes an operation that
	// began after another queue had crashed.
	for d := range b.handles {
		d.state.CompareAndSwap(stateOpen, stateCut)
	}
	for _, q := range b.queues {
		q.crash()
	}
}

// now is the broker's monotonic clock.
func (b *Broker) now() instant { return time.Since(b.epoch) }

// wall is an instant on the broker's wall clock.
func (b *Broker) wall(t instant) time.Time { return b.epoch.Add(t).Round(0).UTC() }

// queue is the queue of that name, or nil.
func (b *Broker) queue(name string) *queue {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.queues[name]
}

// all is every queue of this moment.
func (b *Broker) all() []*queue {
	b.mu.RLock()
	defer b.mu.RUnlock()
	list := make([]*queue, 0, len(b.queues))
	for _, q := range b.queues {
		list = append(list, q)
	}
	return list
}

// sweep forgets the ended dedup keys of all queues, also of those that nobody
// uses, before a job is refused for want of room. It is called with no queue
// locked. Once a second is enough, and keeps refusals cheap.
func (b *Broker) sweep() {
	now := b.now()
	last := b.swept.Load()
	if now-instant(last) < time.Second || !b.swept.CompareAndSwap(last, int64(now)) {
		return
	}
	for _, q := range b.all() {
		q.mu.Lock()
		q.advance(q.b.now())
		q.mu.Unlock()
	}
}

// leave takes a closed handle off the broker, and its consumers off the queues.
func (b *Broker) leave(d *Driver) {
	if b.shared != "" {
		names.mu.Lock()
		defer names.mu.Unlock()
	}
	for _, q := range b.all() {
		q.detach(d)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.handles, d)
	if b.shared == "" || len(b.handles) > 0 {
		return
	}
	b.over = true
	for _, q := range b.queues {
		q.end()
	}
	b.queues = nil
	delete(names.brokers, b.shared)
}
