//go:build !race

package amqp

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/allocs"
)

const (
	// plainAllocs is what one plain enqueue may allocate with a context that can end. The client
	// library makes 46 for a message without headers and its confirm.
	plainAllocs = 7
	// deliveredAllocs is what a job may allocate that is received and done, by tens. A loop over
	// the library's deliveries makes 44.
	deliveredAllocs = 12
)

// TestPlainEnqueueAllocations runs without the race detector, which allocates.
func TestPlainEnqueueAllocations(t *testing.T) {
	d := open(t)
	q := queue(t, d)
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

// TestDeliveryAllocations counts those of jobs that are pushed, received and done.
func TestDeliveryAllocations(t *testing.T) {
	const jobs, step = 2000, 10
	d := open(t)
	q := queue(t, d)
	var list []*driver.Message
	for i := range jobs {
		list = append(list, message(fmt.Sprint(i)))
	}
	c := consume(t, d, q, jobs)
	settlements := make([]driver.Settlement, 0, step)
	handle := func() {
		for done := 0; done < jobs; {
			deliveries, err := c.Receive(testContext(t), step)
			if err != nil {
				t.Fatal(err)
			}
			settlements = settlements[:0]
			for _, got := range deliveries {
				settlements = append(settlements, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDone})
			}
			if errs := c.Settle(testContext(t), settlements); errs != nil {
				t.Fatal(errs)
			}
			done += len(deliveries)
		}
	}
	allocs.Within(t, "a job", deliveredAllocs+0.5, func() float64 {
		enqueue(t, d, q, list[:jobs/2]...)
		enqueue(t, d, q, list[jobs/2:]...)
		count, _ := allocs.Of(handle)
		return count / jobs
	})
}

// consumerGoroutines is how many goroutines a consumer has that waits for jobs, besides that of
// Receive. Two of them are the library's.
const consumerGoroutines = 5

// TestConsumerGoroutines counts those of consumers on queues of their own.
func TestConsumerGoroutines(t *testing.T) {
	const count = 8
	d := open(t)
	enqueue(t, d, queue(t, d), message("a")) // both connections are there
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(testContext(t))
	var waiting sync.WaitGroup
	for range count {
		q := queue(t, d)
		c := consume(t, d, q, 10)
		enqueue(t, d, q, message("a"))
		settle(t, c, driver.Settlement{Delivery: receive(t, c), Outcome: driver.OutcomeDone})
		waiting.Go(func() { _, _ = c.Receive(ctx, 1) })
	}
	const most = count * (consumerGoroutines + 1)
	deadline := time.Now().Add(5 * time.Second) // what a call has left behind ends in a moment
	for runtime.NumGoroutine()-before > most && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine() - before; n > most {
		t.Errorf("%d goroutines of %d consumers, the budget is %d", n, count, most)
	}
	t.Logf("%d goroutines of %d consumers", runtime.NumGoroutine()-before, count)
	cancel()
	waiting.Wait()
}
