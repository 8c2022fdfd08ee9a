package batch

import (
	"context"

	"github.com/batch-go/batch/driver"
)

// lane is a worker's work on one queue. The fetcher receives jobs into the buffer,
// the slots run them, the settler tells the broker what became of them, and all
// the while the keeper extends their leases.
type lane struct {
	queue    WorkerQueue
	consumer driver.Consumer
	buffer   *buffer
	keeper   *keeper
	settler  *settler
	slots    *slots
	fetcher  *fetcher
}

// laneConfig is what the lanes of a worker have in common.
type laneConfig struct {
	driver driver.Driver
	limits driver.Limits
	worker *WorkerConfig
	judge  *judge
	hooks  *hooks
	// working and settling are the worker's contexts of these names.
	working, settling context.Context
	// fail is called if the driver was closed, and ends the worker.
	fail func(error)
}

// openLane declares the queue, opens the consumer and makes the parts of the lane.
func openLane(ctx context.Context, c laneConfig, q WorkerQueue) (*lane, error) {
	if err := c.driver.Declare(ctx, q.Name); err != nil {
		return nil, err
	}
	consumer, err := c.driver.Consume(ctx, q.Name, driver.ConsumeOptions{Lease: q.Lease, Prefetch: q.Concurrency + q.Prefetch})
	if err != nil {
		return nil, err
	}
	l := &lane{queue: q, consumer: consumer}
	l.buffer = newBuffer(q.Concurrency, q.Prefetch)
	l.keeper = newKeeper(consumer, c.limits.ExtendBatch, q.Name, c.hooks, c.working)
	l.settler = newSettler(settler{
		consumer: consumer, queue: q.Name, keeper: l.keeper, buffer: l.buffer, hooks: c.hooks,
		timeout: c.worker.SettleTimeout, working: c.working, settling: c.settling,
	}, c.limits)
	l.slots = &slots{
		buffer: l.buffer, judge: c.judge, settler: l.settler, hooks: c.hooks, working: c.working,
		stuckAfter: c.worker.StuckAfter, cancelTimeout: c.worker.CancelTimeout, quiet: make(chan struct{}),
	}
	l.fetcher = &fetcher{
		driver: c.driver, limits: c.limits, consumer: consumer, queue: q.Name, judge: c.judge,
		keeper: l.keeper, buffer: l.buffer, settler: l.settler, hooks: c.hooks, fail: c.fail,
	}
	return l, nil
}

// start begins to work. The lane receives jobs until fetching ends.
func (l *lane) start(fetching context.Context) {
	l.slots.start(l.queue.Concurrency)
	l.keeper.start()
	l.fetcher.start(fetching, l.queue.Concurrency+l.queue.Prefetch)
}

// close stops the slots from starting jobs, and gives back the jobs that have not
// started.
func (l *lane) close() { l.settler.giveBack(l.buffer.close()) }

// running counts the jobs whose handlers run.
func (l *lane) running() int {
	n := 0
	for _, t := range l.keeper.held() {
		if t.state.Load() == taskRunning {
			n++
		}
	}
	return n
}

// detach gives back the jobs whose handlers still run, without waiting for them.
func (l *lane) detach() { l.slots.detach(l.keeper.held()) }
