//go:build !race

package redis

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"
)

const (
	// handedOut and handedOutLarge are how many bytes are allocated for each of a reply with many jobs, of 256
	// bytes and of 64 KiB. The reply is read once, into memory that small jobs share.
	handedOut, handedOutLarge = 2.4, 1.2
)

// TestHandOutAllocations receives full calls.
func TestHandOutAllocations(t *testing.T) {
	for size, budget := range map[int]float64{benchBody: handedOut, 64 << 10: handedOutLarge} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			calls, jobs := 10, 500
			if size > largeString {
				jobs = 50
			}
			d := open(t)
			q := queue(t, d)
			c := consume(t, d, q, time.Minute)
			for range calls + 2 {
				list := benchMessages(jobs)
				for _, m := range list {
					m.Body = make([]byte, size)
				}
				enqueue(t, d, q, list...)
			}
			receive := func() {
				if got, err := c.Receive(context.Background(), jobs); err != nil || len(got) != jobs {
					t.Fatalf("%d jobs, %v", len(got), err)
				}
			}
			receive() // their size is known from here on
			receive()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range calls {
				receive()
			}
			runtime.ReadMemStats(&after)
			bytes := float64(after.TotalAlloc-before.TotalAlloc) / float64(calls*jobs*int(c.fetcher.perJob.Load()))
			allocs := float64(after.Mallocs-before.Mallocs) / float64(calls*jobs)
			t.Logf("%.2f allocations a job, and %.2f bytes for each of its reply", allocs, bytes)
			if bytes > budget {
				t.Errorf("%.2f bytes for each of the reply, the budget is %.2f", bytes, budget)
			}
		})
	}
}
