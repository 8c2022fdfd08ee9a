//go:build !race

package batch_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/internal/allocs"
)

// allocBudgets are what one job may allocate from Enqueue to the confirmed settlement on the
// memory driver, with JSON args of two fields, by how many jobs a call enqueues. They have
// room for half an allocation, so that one more of each job is too many. Of 13.3 in calls of
// a hundred, encoding/json makes 5.5, the job's ID 1 and the memory driver 2. A call for one
// job, when nothing else is under way, makes a request of its own, with a context of its own: that
// is what is more, and takes no timer unless the driver waits for its end. One producer makes all of the calls. Of several at
// the same time it depends on the machine's load how many share a request, and so what that
// costs each: 17 to 22. The race detector allocates, so this runs without it.
var allocBudgets = map[int]float64{1: 14.5, 100: 13.8}

// TestAllocationsPerJob has jobs of one producer handled.
func TestAllocationsPerJob(t *testing.T) {
	for many, budget := range allocBudgets {
		allocs.Within(t, fmt.Sprintf("a job of %d in a call", many), budget, func() float64 {
			result := testing.Benchmark(func(b *testing.B) { enqueueAndProcess(b, 1, many) })
			return float64(result.MemAllocs) / float64(result.N)
		})
	}
}

// TestOutcomeOfAllocations: what a failed job asks for is read several times, and costs nothing.
func TestOutcomeOfAllocations(t *testing.T) {
	boom := errors.New("boom")
	for _, err := range []error{nil, boom, batch.RetryAfter(time.Second, boom), batch.Snooze(time.Second), batch.Permanent(boom)} {
		allocs.Within(t, fmt.Sprint(err), 0, func() float64 { return allocs.PerCall(func() { batch.OutcomeOf(err) }) })
	}
}

// BenchmarkMemory is the core with next to no broker: what it costs itself.
func BenchmarkMemory(b *testing.B) {
	b.Run("Enqueue", func(b *testing.B) { enqueueAndProcess(b, 64, 1) })
	b.Run("EnqueueMany100", func(b *testing.B) { enqueueAndProcess(b, 64, 100) })
}

type sized struct {
	N   int
	Pad string
}

func (sized) Kind() string { return "sized" }

// enqueueAndProcess moves b.N jobs from producers, each enqueueing many at a
// time, through a worker whose handler does nothing.
func enqueueAndProcess(b *testing.B, producers, many int) {
	d := memory.New()
	q := batch.NewQueue(d, "tasks")
	w := batch.NewWorker(d, batch.WorkerConfig{
		Queues: []batch.WorkerQueue{{Name: "tasks", Concurrency: 64, Prefetch: 448}},
		Log:    silent,
	})
	done := make(chan struct{})
	var handled atomic.Int64
	batch.Handle(w, func(context.Context, *batch.Job[sized]) error {
		if handled.Add(1) == int64(b.N) {
			close(done)
		}
		return nil
	})
	if err := w.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for p := range producers {
		go func() {
			requests := make([]batch.Request[*memory.Driver], 0, many)
			for i := p; i < b.N; i += producers {
				var err error
				args := sized{N: i, Pad: "0123456789012345678901234567890123456789"}
				if many == 1 {
					_, err = q.Enqueue(b.Context(), args)
				} else if requests = append(requests, batch.Request[*memory.Driver]{Args: args}); len(requests) == many || i+producers >= b.N {
					_, err = q.EnqueueMany(b.Context(), requests)
					requests = requests[:0]
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		}()
	}
	<-done
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
	b.StopTimer()
	if err := w.Stop(context.Background()); err != nil {
		b.Fatal(err)
	}
}
