// Package coalesce gathers items from concurrent callers into batches without a
// timer: an item that arrives while nothing is under way leaves at once, and
// what arrives while a batch is under way leaves with the next one. Under load
// batches grow by themselves, and an idle program pays no delay. Databases call
// it group commit.
package coalesce

import (
	"runtime"
	"sync"
)

// Limits bound a batch. All must be at least 1.
type Limits struct {
	// Items and Bytes bound one batch; a single item may exceed Bytes.
	Items, Bytes int
	// Flights is how many batches may be under way at the same time.
	Flights int
	// Partial is how many of those may be there when one leaves that is not full:
	// beyond that a few items do better to wait for the next flight that lands,
	// since where batches are small each costs a request. Defaults to Flights.
	Partial int
}

// Coalescer gathers items and hands them to flush in batches. Make one with
// [New]. It holds no goroutine while it has no items.
type Coalescer[T any] struct {
	limits Limits
	flush  func([]T)

	mu sync.Mutex // guards following
	// queue[head:] are the items that wait, with their sizes.
	queue   []sized[T]
	head    int
	flights int
	// idle is closed and replaced by nil when the last flight ends with nothing
	// waiting; nil when nobody waits for that.
	idle chan struct{}
}

type sized[T any] struct {
	item T
	size int
}

// New makes a coalescer that calls flush with each batch, from goroutines of
// its own, at most limits.Flights at a time. The slice belongs to flush only
// until it returns.
func New[T any](limits Limits, flush func([]T)) *Coalescer[T] {
	if limits.Partial == 0 {
		limits.Partial = limits.Flights
	}
	return &Coalescer[T]{limits: limits, flush: flush}
}

// Add hands over an item of size bytes. It does not wait. Items added one after
// the other are flushed in that order where Flights is 1.
func (c *Coalescer[T]) Add(item T, size int) {
	c.mu.Lock()
	c.queue = append(c.queue, sized[T]{item, size})
	start := c.flights < c.limits.Partial || c.flights < c.limits.Flights && len(c.queue)-c.head >= c.limits.Items
	if start {
		c.flights++
	}
	c.mu.Unlock()
	if start {
		go c.fly()
	}
}

// Lead lets the caller make a flight of its own, past the queue, if nothing waits
// and there is room for one: true. It must call [Coalescer.Land] then. A call on
// an idle coalescer spares the hand-over to another goroutine and back by that.
func (c *Coalescer[T]) Lead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flights >= c.limits.Partial || c.head < len(c.queue) {
		return false
	}
	c.flights++
	return true
}

// Land ends the flight of a caller that led. What was added meanwhile goes on in
// another goroutine.
func (c *Coalescer[T]) Land() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.head < len(c.queue) {
		go c.fly()
		return
	}
	c.land()
}

// land ends a flight. c.mu must be held.
func (c *Coalescer[T]) land() {
	c.flights--
	if c.flights == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// Idle returns a channel that is closed when nothing waits and nothing is under
// way; at once if that is so already.
func (c *Coalescer[T]) Idle() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flights == 0 {
		done := make(chan struct{})
		close(done)
		return done
	}
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	return c.idle
}

// fly flushes batches until nothing waits.
func (c *Coalescer[T]) fly() {
	var batch []T
	for {
		// The callers that the last flush woke are runnable but have not run:
		// letting them go first puts their next items into this batch instead
		// of the one after. It costs nothing when there are none.
		runtime.Gosched()
		batch = c.take(batch[:0])
		if len(batch) == 0 {
			return
		}
		c.flush(batch)
		clear(batch)
	}
}

// take moves the next batch into buf, and ends the flight if there is none.
func (c *Coalescer[T]) take(buf []T) []T {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flights > c.limits.Partial && len(c.queue)-c.head < c.limits.Items {
		// What waits leaves with one of the others, which are still under way.
		c.land()
		return buf
	}
	bytes := 0
	for c.head < len(c.queue) && len(buf) < c.limits.Items {
		next := &c.queue[c.head]
		if len(buf) > 0 && bytes+next.size > c.limits.Bytes {
			break
		}
		bytes += next.size
		buf = append(buf, next.item)
		*next = sized[T]{}
		c.head++
	}
	switch {
	case c.head == len(c.queue):
		c.queue, c.head = c.queue[:0], 0
	case c.head > len(c.queue)/2:
		// Moving the rest down when it is the smaller half keeps the slice from
		// growing without end under constant load, at O(1) an item.
		n := copy(c.queue, c.queue[c.head:])
		clear(c.queue[n:])
		c.queue, c.head = c.queue[:n], 0
	}
	if len(buf) == 0 {
		c.land()
	}
	return buf
}
