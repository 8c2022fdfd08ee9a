//go:build !race

package nats_test

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"testing"
	"time"

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

const (
	// manyAllocs is what a job may allocate that is enqueued with others: the client library
	// makes four of them for the answer. With a map of headers for each it was 11.
	manyAllocs = 5
	// retryAllocs is what the settlement of a job that failed may allocate, with the reading of
	// two answers. With maps of headers, JSON and the library's publishing it was 27.
	retryAllocs = 11
)

// TestManyAllocations counts the allocations of calls for a hundred jobs, to enqueue them and to
// have them tried again.
func TestManyAllocations(t *testing.T) {
	const many = 100
	d := openURL(t, brokers.NATS(t, brokers.NATS2).URL())
	q := declare(t, d)
	c := consume(t, d, q, 30*time.Second)
	var list []*driver.Message
	for i := range many {
		list = append(list, message(fmt.Sprint(i)))
	}
	enqueued, retried := math.Inf(1), math.Inf(1)
	for range 5 { // the best of them: other goroutines allocate now and then
		enqueued = min(enqueued, allocations(func() { enqueue(t, d, q, list...) })/many)
		var all []driver.Settlement
		for _, g := range receive(t, c, many) {
			all = append(all, driver.Settlement{Delivery: g, Outcome: driver.OutcomeRetry, Failures: 1, Error: "connection refused"})
		}
		retried = min(retried, allocations(func() {
			if errs := c.Settle(testContext(t), all); errs != nil {
				t.Fatal(errs)
			}
		})/many)
		if _, err := d.Purge(testContext(t), q); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%.1f allocations to enqueue a job, %.1f to retry it", enqueued, retried)
	if enqueued > manyAllocs+0.5 || retried > retryAllocs+0.5 {
		t.Errorf("%.1f allocations to enqueue a job, and %.1f to retry it, the budgets are %d and %d", enqueued, retried, manyAllocs, retryAllocs)
	}
}

// allocations is how often anything in the process allocates while do runs.
func allocations(do func()) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs - before.Mallocs)
}
