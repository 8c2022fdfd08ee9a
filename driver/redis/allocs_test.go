//go:build !race

package redis

import (
	"context"
	"testing"

	"github.com/batch-go/batch/driver"
)

// plainAllocs is what one plain enqueue may allocate with a context that can end: go-redis makes
// 11 of them, three in its look at the connection. A raw XADD has 14 in all.
const plainAllocs = 11

// TestPlainEnqueueAllocations runs without the race detector, which allocates.
func TestPlainEnqueueAllocations(t *testing.T) {
	d := open(t)
	q := queue(t, d)
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
