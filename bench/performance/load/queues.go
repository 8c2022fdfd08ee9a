package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"
)

// ErrLacks is returned for a workload that a peer has no means for.
var ErrLacks = errors.New("it cannot do that")

// idleConcurrency is how many handlers each of many queues has.
const idleConcurrency = 4

// manyQueues are the workloads of a worker on queues with next to nothing to do.
func manyQueues() []Workload {
	var all []Workload
	for _, n := range []int{1, 50, 500, 2000} {
		what := fmt.Sprintf("A worker with %d handlers on each of %d idle queues: its cost a second, and from an enqueue on any queue to the handler", idleConcurrency, n)
		if n == 1 {
			what = fmt.Sprintf("A worker with %d handlers on an idle queue: its cost a second, and from an enqueue to the handler", idleConcurrency)
		}
		all = append(all, Workload{Name: fmt.Sprint("queues-", n), What: what, Kind: Idle, Queues: n, run: idle})
	}
	return all
}

// idle measures the start, what an idle worker costs, and how soon it starts a job.
func idle(ctx context.Context, r *run) error {
	a := newArrivals()
	came := make(chan struct{}, 1000)
	start := time.Now()
	stop, err := r.watched(ctx, a, idleConcurrency, came)
	if err != nil {
		return err
	}
	defer stop()
	r.result.Start = time.Since(start)
	one := func(queue string, note bool) error { return r.enqueueOne(ctx, a, came, queue, note) }
	// A job through the first and the last queue, so that the worker is there.
	for _, q := range []string{r.queues[0], r.queues[len(r.queues)-1]} {
		if err := one(q, false); err != nil {
			return err
		}
	}
	r.result.Start = time.Since(start)
	time.Sleep(r.scale.Time / 2)
	r.meter.begin()
	start = time.Now()
	time.Sleep(2 * r.scale.Time)
	r.result.Took = time.Since(start)
	r.result.Cost = r.meter.end()
	r.result.Goroutines, r.result.Connections = runtime.NumGoroutine(), connections()
	start = time.Now()
	for time.Since(start) < r.scale.Time {
		time.Sleep(time.Millisecond + rand.N(4*time.Millisecond))
		if err := one(r.queues[rand.IntN(len(r.queues))], true); err != nil {
			return err
		}
	}
	a.into(&r.result)
	return nil
}
