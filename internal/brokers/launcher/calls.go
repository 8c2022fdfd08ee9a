package main

import (
	"context"
	"sync"
)

// calls are those under way, by their numbers, so that each can be cancelled.
type calls struct {
	all     context.Context // of all of them
	ongoing sync.Map        // a *call for each number
}

// A call is one that was begun or cancelled, whichever came first: calls that the test binary makes one
// after the other are answered concurrently.
type call struct {
	ctx    context.Context
	cancel context.CancelFunc
}

func (c *calls) get(number uint64) *call {
	ctx, cancel := context.WithCancel(c.all)
	known, ok := c.ongoing.LoadOrStore(number, &call{ctx, cancel})
	if ok {
		cancel()
	}
	return known.(*call)
}

// begin returns the context of a call, which end ends.
func (c *calls) begin(number uint64) (ctx context.Context, end func()) {
	known := c.get(number)
	return known.ctx, func() {
		known.cancel()
		c.ongoing.Delete(number)
	}
}

// cancel cancels a call. One that has ended leaves a few bytes behind.
func (c *calls) cancel(number uint64) {
	c.get(number).cancel()
}
