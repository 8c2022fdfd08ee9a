//go:build !race

package nats_test

import (
	"context"
	"testing"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// plainAllocs is what one plain enqueue may allocate with a context that can end: the client
// library makes four of them. A raw publish has 14, and 17 with headers.
const plainAllocs = 10

// TestPlainEnqueueAllocations runs without the race detector, which allocates.
func TestPlainEnqueueAllocations(t *testing.T) {
	d := openURL(t, brokers.NATS(t, brokers.NATS2).URL())
	q := declare(t, d)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	list := []*driver.Message{message("a")}
	enqueue(t, d, q, list...)
	allocs := testing.AllocsPerRun(500, func() {
		if r := d.Enqueue(ctx, q, list); r != nil {
			t.Fatal(r[0].Err)
		}
	})
	t.Logf("%.1f allocations a job", allocs)
	if allocs > plainAllocs+0.5 {
		t.Errorf("%.1f allocations a job, the budget is %d", allocs, plainAllocs)
	}
}
