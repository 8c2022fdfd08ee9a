//go:build !race

package redis

import (
	"context"
	"testing"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/allocs"
)

const (
	// plainAllocs is what one plain enqueue may allocate with a context that can end: go-redis
	// makes 7 of them, three in its look at the connection. A raw XADD has 14 in all.
	plainAllocs = 8
	// queueAllocs is the same with the core, its JSON, ID and message included.
	queueAllocs = 11
	// manyAllocs is that of each of many in one call: the entry that the server names.
	manyAllocs = 1
)

// callWithin holds a call of do within a budget and half of one.
func callWithin(t *testing.T, what string, budget float64, do func() error) {
	t.Helper()
	allocs.Within(t, what, budget+0.5, func() float64 {
		return allocs.PerCall(func() {
			if err := do(); err != nil {
				t.Fatal(err)
			}
		})
	})
}

// TestPlainEnqueueAllocations runs without the race detector, which allocates.
func TestPlainEnqueueAllocations(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	stored := func(list []*driver.Message) func() error {
		enqueue(t, d, q, list...)
		return func() error {
			for _, r := range d.Enqueue(ctx, q, list) {
				return r.Err
			}
			return nil
		}
	}
	callWithin(t, "a job", plainAllocs, stored(many(1)))
	callWithin(t, "a hundred jobs", plainAllocs+99*manyAllocs, stored(many(100)))
}

// TestQueueAllocations is for a caller alone whose context has no deadline.
func TestQueueAllocations(t *testing.T) {
	d := open(t)
	q := batch.NewQueue(d, queue(t, d))
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	callWithin(t, "a job by its queue", queueAllocs, func() error { _, err := q.Enqueue(ctx, sent{"x"}); return err })
}

// sent is a job.
type sent struct{ P string }

// Kind names it.
func (sent) Kind() string { return "sent" }
