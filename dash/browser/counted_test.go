package browser_test

import (
	"context"
	"maps"
	"sync"
	"testing"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/redis"
)

// counted is the driver of Redis, which counts what is asked of it for pages: calls by their name, and the bytes of the jobs
// that they returned. It can all that the driver can.
type counted struct {
	*redis.Driver

	mu sync.Mutex // guards following
	asked
}

// asked is what was asked of a broker.
type asked struct {
	calls map[string]int
	jobs  int
	bytes int
}

// count makes a driver counted.
func count(t *testing.T, d batch.Driver) *counted {
	t.Helper()
	r, ok := d.(*redis.Driver)
	if !ok {
		t.Fatalf("this is a %T", d)
	}
	return &counted{Driver: r, asked: asked{calls: make(map[string]int)}}
}

// during is what is asked while do runs.
func (c *counted) during(do func()) asked {
	c.mu.Lock()
	c.asked = asked{calls: make(map[string]int)}
	c.mu.Unlock()
	do()
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := c.asked
	seen.calls = maps.Clone(seen.calls)
	return seen
}

// note counts a call.
func (c *counted) note(call string, entries ...driver.Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[call]++
	c.jobs += len(entries)
	for i := range entries {
		c.bytes += entries[i].Size()
	}
}

// ListQueues implements driver.QueueLister.
func (c *counted) ListQueues(ctx context.Context) ([]string, error) {
	names, err := c.Driver.ListQueues(ctx)
	c.note("ListQueues")
	return names, err
}

// Depth implements driver.Driver.
func (c *counted) Depth(ctx context.Context, queue string) (driver.Depth, error) {
	d, err := c.Driver.Depth(ctx, queue)
	c.note("Depth")
	return d, err
}

// DeadLetters implements driver.Driver.
func (c *counted) DeadLetters(ctx context.Context, queue, cursor string, most int) ([]driver.DeadLetter, string, error) {
	page, next, err := c.Driver.DeadLetters(ctx, queue, cursor, most)
	entries := make([]driver.Entry, len(page))
	for i := range page {
		entries[i] = page[i].Entry()
	}
	c.note("DeadLetters", entries...)
	return page, next, err
}

// List implements driver.Inspector.
func (c *counted) List(ctx context.Context, queue string, state driver.State, cursor string, most int) ([]driver.Entry, string, error) {
	page, next, err := c.Driver.List(ctx, queue, state, cursor, most)
	c.note("List", page...)
	return page, next, err
}

// Find implements driver.Inspector.
func (c *counted) Find(ctx context.Context, queue, id string) (driver.Entry, error) {
	e, err := c.Driver.Find(ctx, queue, id)
	c.note("Find", e)
	return e, err
}

// Redrive implements driver.Driver.
func (c *counted) Redrive(ctx context.Context, queue string, which driver.Selection) (int, error) {
	n, err := c.Driver.Redrive(ctx, queue, which)
	c.note("Redrive")
	return n, err
}
