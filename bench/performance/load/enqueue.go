package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch/bench/performance/peer"
)

// enqueues are the workloads of enqueueing alone. What was stored is handled afterwards, which is not timed.
func enqueues() []Workload {
	all := []Workload{
		{Name: "enqueue-1", Disk: true, What: "One caller enqueues one job after another", Kind: Rate, run: enqueueBy(1)},
		{Name: "enqueue-64", Disk: true, What: "64 callers enqueue one job after another each", Kind: Rate, run: enqueueBy(Callers)},
		{Name: "enqueue-many", Disk: true, What: "One caller enqueues 500 jobs in a call, or as its library does that best", Kind: Rate, run: enqueueMany},
		{Name: "enqueue-64-4k", What: "64 callers, bodies of 4 KiB", Kind: Rate, Body: 4 << 10, run: enqueueBy(Callers)},
		{Name: "enqueue-64-64k", What: "64 callers, bodies of 64 KiB", Kind: Rate, Body: 64 << 10, run: enqueueBy(Callers)},
	}
	// Where a library decides how many jobs share a sync, more callers must not be slower than fewer.
	for _, n := range []int{2, 4, 8, 16, 32, 256} {
		all = append(all, Workload{Name: fmt.Sprint("enqueue-", n), Disk: true, on: peer.Synced, What: fmt.Sprintf("%d callers enqueue one job after another each", n), Kind: Rate, run: enqueueBy(n)})
	}
	return all
}

// limit is how many jobs a measurement has at most. Large bodies fill a broker sooner.
func (r *run) limit() int {
	if r.body > 10<<10 {
		return r.scale.Jobs / 20
	}
	return r.scale.Jobs
}

// enqueuing stores one job.
type enqueuing func(ctx context.Context, queue string, j peer.Job) error

// callers has n of them enqueue until the time is over or the number reached, and returns what they did.
func (r *run) callers(ctx context.Context, enqueue enqueuing, n, limit int, during time.Duration) (jobs int, err error) {
	var taken, done atomic.Int64
	failed := make([]error, n)
	deadline := time.Now().Add(during)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			for time.Now().Before(deadline) && taken.Add(1) <= int64(limit) {
				if failed[i] = enqueue(ctx, r.queues[0], r.job()); failed[i] != nil {
					return
				}
				r.seen.sent(1)
				done.Add(1)
			}
		})
	}
	all.Wait()
	return int(done.Load()), errors.Join(failed...)
}

// warm has the connections opened, and the caches filled.
func (r *run) warm(ctx context.Context, enqueue enqueuing, n int) error {
	_, err := r.callers(ctx, enqueue, n, 4*n, 5*time.Second)
	return err
}

// enqueueBy measures n callers.
func enqueueBy(n int) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error { return r.timedEnqueue(ctx, r.peer.Enqueue, n) }
}

// timedEnqueue measures n callers of enqueue.
func (r *run) timedEnqueue(ctx context.Context, enqueue enqueuing, n int) error {
	if err := r.warm(ctx, enqueue, n); err != nil {
		return err
	}
	r.meter.begin()
	start := time.Now()
	jobs, err := r.callers(ctx, enqueue, n, r.limit(), r.scale.Time)
	r.result.Took, r.result.Jobs = time.Since(start), jobs
	r.result.Cost = r.meter.end()
	if err != nil {
		return err
	}
	return r.drain(ctx)
}

// transactions are the workloads of enqueueing in transactions of the application, one job in each.
func transactions() []Workload {
	by := func(n int) func(context.Context, *run) error {
		return func(ctx context.Context, r *run) error {
			t, ok := r.peer.(peer.Transactor)
			if !ok {
				return ErrLacks
			}
			return r.timedEnqueue(ctx, t.EnqueueTx, n)
		}
	}
	return []Workload{
		{Name: "tx-1", on: peer.Postgres, What: "One caller begins a transaction, enqueues a job in it and commits it, one after another", Kind: Rate, run: by(1)},
		{Name: "tx-64", on: peer.Postgres, What: "64 callers do that", Kind: Rate, run: by(Callers)},
	}
}

// enqueueMany measures 500 jobs to a call.
func enqueueMany(ctx context.Context, r *run) error {
	if err := r.fill(ctx, 500, time.Minute); err != nil {
		return err
	}
	var parts int
	r.meter.begin()
	start := time.Now()
	for ; time.Since(start) < r.scale.Time && parts*500 < r.limit(); parts++ {
		if err := r.peer.EnqueueMany(ctx, r.queues[0], r.jobs(500)); err != nil {
			return err
		}
		r.seen.sent(500)
	}
	r.result.Took, r.result.Jobs = time.Since(start), parts*500
	r.result.Cost = r.meter.end()
	return r.drain(ctx)
}
