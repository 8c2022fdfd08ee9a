//go:build !race

package batch_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// allocBudget is what one job may allocate from Enqueue to the confirmed
// settlement on the memory driver, with JSON args of two fields: 17 when this
// was written, of which encoding/json makes 6, the job's ID 1 and the memory
// driver 2. The race detector allocates, so this runs without it. The rest of the room is for the batches that a job shares.
const allocBudget = 20

func TestAllocationsPerJob(t *testing.T) {
	result := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		enqueueAndProcess(b, 64, 1)
	})
	t.Logf("%d allocations and %d bytes a job, %d jobs/s", result.AllocsPerOp(), result.AllocedBytesPerOp(), int(float64(result.N)/result.T.Seconds()))
	if got := result.AllocsPerOp(); got > allocBudget {
		t.Errorf("%d allocations a job, the budget is %d", got, allocBudget)
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
