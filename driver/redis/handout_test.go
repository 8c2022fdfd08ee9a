//go:build !race

package redis

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/batch-go/batch/internal/allocs"
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
			store := func() {
				list := benchMessages(jobs)
				for _, m := range list {
					m.Body = make([]byte, size)
				}
				enqueue(t, d, q, list...)
			}
			store()
			store()
			receive := func() {
				if got, err := c.Receive(context.Background(), jobs); err != nil || len(got) != jobs {
					t.Fatalf("%d jobs, %v", len(got), err)
				}
			}
			receive() // their size is known from here on
			receive()
			reply := float64(calls * jobs * int(c.fetcher.perJob.Load()))
			allocs.Within(t, "bytes for each of the reply", budget, func() float64 {
				for range calls {
					store()
				}
				_, bytes := allocs.Of(func() {
					for range calls {
						receive()
					}
				})
				return bytes / reply
			})
		})
	}
}
