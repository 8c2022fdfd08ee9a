//go:build !race

package nats_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/allocs"
	"github.com/batch-go/batch/internal/brokers"
)

// plainAllocs is what one plain enqueue may allocate with a context that can end: the client
// library makes four of them. A raw publish has 14, and 17 with headers.
const plainAllocs = 8

// TestPlainEnqueueAllocations runs without the race detector, which allocates.
func TestPlainEnqueueAllocations(t *testing.T) {
	d := openURL(t, brokers.NATS(t, brokers.NATS2).URL())
	q := declare(t, d)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	list := []*driver.Message{message("a")}
	enqueue(t, d, q, list...)
	allocs.Within(t, "a job", plainAllocs+0.5, func() float64 {
		return allocs.PerCall(func() {
			if r := d.Enqueue(ctx, q, list); r != nil {
				t.Fatal(r[0].Err)
			}
		})
	})
}

const (
	// manyAllocs is what a job may allocate that is enqueued with others: the client library
	// makes four of them for the answer. With a map of headers for each it was 11.
	manyAllocs = 4
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
	allocs.Within(t, "a job of many", manyAllocs+0.5, func() float64 {
		count, _ := allocs.Of(func() { enqueue(t, d, q, list...) })
		if _, err := d.Purge(testContext(t), q); err != nil {
			t.Fatal(err)
		}
		return count / many
	})
	allocs.Within(t, "a retry of many", retryAllocs+0.5, func() float64 {
		enqueue(t, d, q, list...)
		var all []driver.Settlement
		for _, g := range receive(t, c, many) {
			all = append(all, driver.Settlement{Delivery: g, Outcome: driver.OutcomeRetry, Failures: 1, Error: "connection refused"})
		}
		count, _ := allocs.Of(func() {
			if errs := c.Settle(testContext(t), all); errs != nil {
				t.Fatal(errs)
			}
		})
		if _, err := d.Purge(testContext(t), q); err != nil {
			t.Fatal(err)
		}
		return count / many
	})
}

// atomicAllocs is what a job may allocate that is stored with others or not at all.
const atomicAllocs = 2

// TestAtomicAllocations counts the allocations of one atomic batch of a hundred jobs.
func TestAtomicAllocations(t *testing.T) {
	const many = 100
	d := openURL(t, brokers.NATS(t, brokers.NATS2).URL())
	q := declare(t, d)
	var list []*driver.Message
	for i := range many {
		list = append(list, message(fmt.Sprint(i)))
	}
	enqueue(t, d, q, list...)
	allocs.Within(t, "a job of a batch", atomicAllocs+0.5, func() float64 {
		count, _ := allocs.Of(func() {
			if err := d.EnqueueAtomic(testContext(t), q, list); err != nil {
				t.Fatal(err)
			}
		})
		return count / many
	})
}
