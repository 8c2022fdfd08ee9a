// Package coalesce gathers items from concurrent callers into batches, without a
// timer. An item that arrives while nothing is under way is flushed at once, and
// items that arrive while a batch is under way are flushed together in the next
// one. Under load batches grow by themselves, and an idle program pays no delay.
// Databases call this group commit.
package coalesce

import (
	"runtime"
	"sync"
	"time"

	"github.com/batch-go/batch/internal/fifo"
)

// Limits bound a batch. All must be at least 1.
type Limits struct {
	// Items and Bytes bound one batch; a single item may exceed Bytes.
	Items, Bytes int
	// Flights is how many batches may be under way at the same time.
	Flights int
	// Partial is how many batches may be under way when one starts that is not
	// full, that one included. Beyond it a few items wait for the next flight that
	// lands, which saves requests if batches are small. Defaults to Flights.
	Partial int
	// Patience is how long a batch may be under way before it does not count any more,
	// and the items behind it go without it. So a batch that gets no answer holds up
	// nothing but itself. It needs Flights of 1. Zero means that all count until they
	// end.
	Patience time.Duration
}

// Coalescer gathers items and passes them to flush in batches. Make one with
// [New]. It holds no goroutine while it has no items.
type Coalescer[T any] struct {
	limits Limits
	flush  func([]T)

	mu      sync.Mutex           // guards following
	queue   fifo.Queue[sized[T]] // the items that wait
	flights int

	// With Patience: number is that of the batch that counts, departed is when it began,
	// zero if it has ended. patience fires when the batch has had its time. It is reused,
	// so it may fire for an earlier one.
	number   uint64
	departed time.Time
	patience *time.Timer
}

// sized is an item with its size in bytes.
type sized[T any] struct {
	item T
	size int
}

// New makes a coalescer that calls flush with each batch, in its own goroutines, at
// most limits.Flights at the same time. The slice belongs to flush only until it
// returns.
func New[T any](limits Limits, flush func([]T)) *Coalescer[T] {
	if limits.Partial == 0 {
		limits.Partial = limits.Flights
	}
	return &Coalescer[T]{limits: limits, flush: flush}
}

// Add queues an item of size bytes. It does not wait. If Flights is 1, items that
// are added one after the other are flushed in that order.
func (c *Coalescer[T]) Add(item T, size int) {
	c.mu.Lock()
	c.queue.Push(sized[T]{item, size})
	start := c.flights < c.limits.Partial || c.flights < c.limits.Flights && c.queue.Len() >= c.limits.Items
	if start {
		c.flights++
	}
	c.mu.Unlock()
	if start {
		go c.fly()
	}
}

// Lead returns true if no items wait and the limits allow another flight. The
// caller then makes that flight itself, without the queue, and must call
// [Coalescer.Land] when it ends. On an idle coalescer this saves handing the item
// to another goroutine and back.
func (c *Coalescer[T]) Lead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flights >= c.limits.Partial || c.queue.Len() > 0 {
		return false
	}
	c.flights++
	return true
}

// Land ends the flight that began with [Coalescer.Lead]. Items that were added
// meanwhile are flushed by another goroutine.
func (c *Coalescer[T]) Land() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queue.Len() > 0 {
		go c.fly()
		return
	}
	c.flights--
}

// fly flushes batches until no items wait.
func (c *Coalescer[T]) fly() {
	var batch []T
	for {
		// The callers that the last flush woke are runnable but have not run.
		// Letting them go first puts their next items into this batch instead of
		// the one after. It costs nothing if there are none.
		runtime.Gosched()
		batch = c.take(batch[:0])
		if len(batch) == 0 {
			return
		}
		if c.limits.Patience == 0 {
			c.flush(batch)
		} else if !c.flushPatiently(batch) {
			return
		}
		clear(batch)
	}
}

// flushPatiently flushes a batch. It returns false if the flight has ended with it,
// because the batch took so long that it did not count any more.
func (c *Coalescer[T]) flushPatiently(batch []T) bool {
	c.mu.Lock()
	c.number++
	number := c.number
	c.departed = time.Now()
	if c.patience == nil {
		c.patience = time.AfterFunc(c.limits.Patience, c.overtake)
	} else {
		c.patience.Reset(c.limits.Patience)
	}
	c.mu.Unlock()

	c.flush(batch)

	c.mu.Lock()
	defer c.mu.Unlock()
	if number == c.number && !c.departed.IsZero() {
		c.departed = time.Time{}
		c.patience.Stop()
		return true
	}
	return false
}

// overtake lets the batch that is under way not count any more, if its time is over.
func (c *Coalescer[T]) overtake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.departed.IsZero() || time.Since(c.departed) < c.limits.Patience {
		return // it fired for an earlier one
	}
	c.departed = time.Time{}
	c.flights--
	if c.queue.Len() > 0 {
		c.flights++
		go c.fly()
	}
}

// take moves the next batch into buf, and ends the flight if there is none.
func (c *Coalescer[T]) take(buf []T) []T {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flights > c.limits.Partial && c.queue.Len() < c.limits.Items {
		// The items that wait go with one of the others, which are still under way.
		c.flights--
		return buf
	}
	bytes := 0
	for c.queue.Len() > 0 && len(buf) < c.limits.Items {
		size := c.queue.At(0).size
		if len(buf) > 0 && bytes+size > c.limits.Bytes {
			break
		}
		bytes += size
		buf = append(buf, c.queue.Pop().item)
	}
	if len(buf) == 0 {
		c.flights--
	}
	return buf
}
