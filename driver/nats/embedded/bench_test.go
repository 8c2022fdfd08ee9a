package embedded_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/nats/embedded"
)

type payload struct{ P string }

// Kind names the job.
func (payload) Kind() string { return "bench" }

// BenchmarkSync runs 64 producers, each of which waits for its own confirmation,
// for the ways of syncing to the disk.
func BenchmarkSync(b *testing.B) {
	const producers, jobs = 64, 20_000
	args := payload{strings.Repeat("x", 256-len(`{"P":""}`))}
	for _, way := range []struct {
		name    string
		options embedded.Options
	}{
		{"always", embedded.Options{SyncAlways: true}},
		{"10ms", embedded.Options{SyncInterval: 10 * time.Millisecond}},
		{"100ms", embedded.Options{SyncInterval: 100 * time.Millisecond}},
		{"1s", embedded.Options{SyncInterval: time.Second}},
		{"10m", embedded.Options{SyncInterval: 10 * time.Minute}},
	} {
		b.Run(way.name, func(b *testing.B) {
			ctx := context.Background()
			d, err := embedded.New(ctx, b.TempDir(), way.options)
			if err != nil {
				b.Fatal(err)
			}
			defer d.Close(ctx)
			q := batch.NewQueue(d, "bench")
			if err := q.Declare(ctx); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				var next atomic.Int64
				var all sync.WaitGroup
				for range producers {
					all.Go(func() {
						for next.Add(1) <= jobs {
							if _, err := q.Enqueue(ctx, args); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				all.Wait()
			}
			b.ReportMetric(float64(jobs*b.N)/b.Elapsed().Seconds(), "jobs/s")
		})
	}
}
