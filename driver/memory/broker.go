package memory

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch/driver"
)

// Broker is a store of jobs in memory. [Broker.Open] makes a handle on it. Its
// methods may be called concurrently with each other and with those of its
// handles.
type Broker struct {
	// Locks are taken in this order: txState.mu, Broker.committing, named.mu or
	// consumer.mu, Broker.mu, queueState.mu, capacity.mu or holders.mu. None is held while
	// waiting for anything but the next. Broker.committing is for who locks several queues.
	options  Options
	limits   driver.Limits
	name     string // by which memory://name finds the broker, or empty
	clock    clock
	capacity capacity
	swept    atomic.Int64 // when sweep last ran
	holders  holders

	committing sync.Mutex

	mu          sync.RWMutex // guards following
	queues      map[string]*queueState
	connections map[*connection]struct{}
	ended       bool // the last handle of a named broker was closed
}

// named are the brokers that memory://name opens.
var named struct {
	mu      sync.Mutex // guards following
	brokers map[string]*Broker
}

// NewBroker makes an empty broker. It returns an error that wraps
// [driver.ErrConfig] if an option is out of its bounds.
func NewBroker(options Options) (*Broker, error) {
	options = options.withDefaults()
	if err := options.validate(); err != nil {
		return nil, invalid(err)
	}
	return newBroker(options, ""), nil
}

// newBroker makes a broker with options that are valid.
func newBroker(options Options, name string) *Broker {
	return &Broker{
		options:     options,
		limits:      options.limits(),
		name:        name,
		clock:       clock{epoch: time.Now()},
		capacity:    capacity{maxBytes: options.MaxBytes, maxJobs: options.MaxJobs},
		queues:      make(map[string]*queueState),
		connections: make(map[*connection]struct{}),
	}
}

// namedBroker finds the broker of a name, or makes it. named.mu must be held.
func namedBroker(name string, given Options) (*Broker, error) {
	b := named.brokers[name]
	if b == nil {
		b = newBroker(given.withDefaults(), name)
		if named.brokers == nil {
			named.brokers = make(map[string]*Broker)
		}
		named.brokers[name] = b
	} else if err := given.agree(b.options); err != nil {
		return nil, faults.Refuse("open", "", driver.ErrConfig, err, "leave out the parameters of a named broker that exists")
	}
	return b, nil
}

// Crash acts like the crash and restart of a broker. All handles are cut:
// calls that have not taken effect, and all later ones, fail with
// driver.ErrUnavailable and driver.FateNotStored, and Receive calls that wait
// return. What is confirmed is kept, as the package documentation says. All leases
// end: before Crash returns, jobs that were delivered and not settled are waiting
// again, with their Redeliveries counted up, and open transactions are rolled back.
// [Broker.Open] makes a handle on what is left.
func (b *Broker) Crash() {
	b.cut()
	b.holders.endUnusable()
}

// cut is Crash without what becomes of transactions.
func (b *Broker) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	// The connections are cut before any queue is touched, and every operation
	// looks at its connection under its queue's lock: so no queue takes an
	// operation that began after another queue had crashed.
	for c := range b.connections {
		c.cut()
	}
	for _, q := range b.queues {
		q.crash()
	}
}

// connect makes a connection to the broker.
func (b *Broker) connect() (*connection, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return nil, faults.Refuse("open", "", driver.ErrClosed, nil, "the named broker ended with its last handle")
	}
	c := newConnection()
	b.connections[c] = struct{}{}
	return c, nil
}

// disconnect takes a closed connection off the broker and its queues. A named
// broker ends with its last one.
func (b *Broker) disconnect(c *connection) {
	if b.name != "" {
		named.mu.Lock()
		defer named.mu.Unlock()
	}
	for _, q := range b.allQueues() {
		q.disconnect(c)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.connections, c)
	if b.name == "" || len(b.connections) > 0 {
		return
	}
	b.ended = true
	for _, q := range b.queues {
		q.delete()
	}
	b.queues = nil
	delete(named.brokers, b.name)
}

// declare makes a queue exist, unless the connection is not usable.
func (b *Broker) declare(c *connection, name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := c.usable(); err != nil {
		return err
	}
	if b.queues[name] == nil {
		b.queues[name] = newQueueState(name, b.clock, &b.capacity, b.options.DedupWindow)
	}
	return nil
}

// delete removes a queue if it exists, unless the connection is not usable.
func (b *Broker) delete(c *connection, name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := c.usable(); err != nil {
		return err
	}
	if q := b.queues[name]; q != nil {
		delete(b.queues, name)
		q.delete()
	}
	return nil
}

// names are the names of all queues, sorted, unless the connection is not usable.
func (b *Broker) names(c *connection) ([]string, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if err := c.usable(); err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(b.queues)), nil
}

// queue is the queue of that name, or nil.
func (b *Broker) queue(name string) *queueState {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.queues[name]
}

// queueOf is the queue that handed out a delivery, or nil if there is none on this broker.
func (b *Broker) queueOf(l *lease) *queueState {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, q := range b.queues {
		if l != nil && l.of == &q.running {
			return q
		}
	}
	return nil
}

// allQueues is every queue of this moment.
func (b *Broker) allQueues() []*queueState {
	b.mu.RLock()
	defer b.mu.RUnlock()
	list := make([]*queueState, 0, len(b.queues))
	for _, q := range b.queues {
		list = append(list, q)
	}
	return list
}

// sweep forgets the ended dedup keys of all queues, also of those that nobody
// uses, before a job is refused because the broker is full. It is called with no
// queue locked. Once a second is enough, and keeps refusals cheap.
func (b *Broker) sweep() {
	now := b.clock.now()
	last := b.swept.Load()
	if now-instant(last) < time.Second || !b.swept.CompareAndSwap(last, int64(now)) {
		return
	}
	for _, q := range b.allQueues() {
		q.begin()
		q.mu.Unlock()
	}
}
