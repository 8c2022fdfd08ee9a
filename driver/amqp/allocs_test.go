//go:build !race

package amqp

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/batch-go/batch/driver"
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

// TestDeliveryAllocations counts those of jobs that are pushed, received and done.
func TestDeliveryAllocations(t *testing.T) {
	const jobs, step = 2000, 10
	d := open(t)
	q := queue(t, d)
	var list []*driver.Message
	for i := range jobs {
		list = append(list, message(fmt.Sprint(i)))
	}
	for i := 0; i < jobs; i += jobs / 2 {
		enqueue(t, d, q, list[i:i+jobs/2]...)
	}
	c := consume(t, d, q, jobs)
	settlements := make([]driver.Settlement, 0, step)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
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
	runtime.ReadMemStats(&after)
	allocs := float64(after.Mallocs-before.Mallocs) / jobs
	t.Logf("%.1f allocations a job", allocs)
	if allocs > deliveredAllocs+0.5 {
		t.Errorf("%.1f allocations a job, the budget is %d", allocs, deliveredAllocs)
	}
}
