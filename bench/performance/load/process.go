package load

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/batch-go/batch/bench/performance/peer"
)

// processes are the workloads of a worker alone, over jobs that wait.
func processes() []Workload {
	return []Workload{
		{Name: "process", Disk: true, What: "64 workers whose handlers do nothing", Kind: Rate, run: process(0)},
		{Name: "process-1ms", What: "64 workers whose handlers take 1 ms", Kind: Rate, run: process(time.Millisecond)},
		{Name: "process-4k", What: "64 workers whose handlers do nothing, bodies of 4 KiB", Kind: Rate, Body: 4 << 10, run: process(0)},
		{Name: "process-64k", What: "64 workers whose handlers do nothing, bodies of 64 KiB", Kind: Rate, Body: 64 << 10, run: process(0)},
	}
}

// timed has a worker handle all jobs that were sent. The time is from its start to the last handler.
func (r *run) timed(ctx context.Context, handle peer.Handler) error {
	before, _, _ := r.seen.counts()
	r.meter.begin()
	start := time.Now()
	stop, err := r.work(ctx, Workers, handle)
	if err != nil {
		return err
	}
	defer stop()
	done := r.settle() == nil
	_, arrived, _ := r.seen.counts()
	r.result.Jobs, r.result.Took = min(before, arrived), r.seen.lastAt().Sub(start)
	if !done {
		r.result.Took, r.result.Note = time.Since(start), errCut.Error()
	}
	r.result.Cost = r.meter.end()
	return nil
}

// process measures handlers that take a while.
func process(takes time.Duration) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		if err := r.fill(ctx, r.limit(), 4*r.scale.Time); err != nil {
			return err
		}
		return r.timed(ctx, func(j peer.Job) error {
			if takes > 0 {
				time.Sleep(takes)
			}
			return r.seen.handle(j)
		})
	}
}

// errPlanned is what handlers return.
var errPlanned = errors.New("as planned")

// failing is the workload of jobs that fail.
func failing() Workload {
	return Workload{
		Name: "failing", Disk: true, What: "64 workers; every job fails twice before it succeeds, and is retried as soon as can be",
		Kind: Rate, run: func(ctx context.Context, r *run) error {
			if err := r.fill(ctx, r.limit()/2, 4*r.scale.Time); err != nil {
				return err
			}
			var mu sync.Mutex
			failed := make(map[int64]int)
			return r.timed(ctx, func(j peer.Job) error {
				mu.Lock()
				failed[j.N]++
				n := failed[j.N]
				mu.Unlock()
				if n <= 2 {
					return errPlanned
				}
				return r.seen.handle(j)
			})
		},
	}
}

// backlog is the workload of many jobs that wait.
func backlog() Workload {
	return Workload{
		Name: "backlog", What: "64 workers whose handlers do nothing drain a large backlog, of as many jobs as were stored in some time, and how much memory of the broker each job takes",
		Kind: Rate, run: func(ctx context.Context, r *run) error {
			before := r.meter.memory()
			// A full form has time for a million, also where the disk decides.
			if err := r.fill(ctx, r.scale.Backlog, max(20*r.scale.Time, time.Duration(r.scale.Backlog)*100*time.Microsecond)); err != nil {
				return err
			}
			if after, sent := r.meter.memory(), r.seen.confirmed.Load(); after > before && sent > 0 {
				r.result.Memory = float64(after-before) / float64(sent)
			}
			r.scale.Patience = max(r.scale.Patience, time.Duration(r.seen.confirmed.Load())*300*time.Microsecond)
			return r.timed(ctx, r.seen.handle)
		},
	}
}
