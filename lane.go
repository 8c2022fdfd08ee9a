package batch

import (
	"context"
	"sync/atomic"

	"github.com/batch-go/batch/driver"
)

// lane is a worker's work on one queue. The fetcher receives jobs into the buffer,
// the slots run them, the settler tells the broker what became of them, and all
// the while the keeper extends their leases.
type lane struct {
	queue    WorkerQueue
	consumer driver.Consumer
	phases   *phases
	buffer   *buffer
	keeper   *keeper
	custody  *custody
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
	phases *phases
	tally  *tally
	// ahead is where lanes show how many jobs they fetch ahead, by queue.
	ahead map[string]*atomic.Int64
	// fail is called if the driver was closed, and ends the worker.
	fail func(error)
}

// aheadBytes bounds the bodies that the lanes of a worker fetch ahead together, beyond as
// many jobs as they run.
const aheadBytes = 64 << 20

// openLane declares the queue, opens the consumer and makes the parts of the lane.
// meet is called with a batch of received jobs of which one at least is suspected,
// from several goroutines. If there is an error, op is the driver's call that failed.
func openLane(ctx context.Context, c laneConfig, q WorkerQueue, meet func(*lane, []*task)) (l *lane, op Op, err error) {
	if err := c.driver.Declare(ctx, q.Name); err != nil {
		return nil, OpDeclare, err
	}
	c.hooks.answered(q.Name, OpDeclare)
	consumer, err := c.driver.Consume(ctx, q.Name, driver.ConsumeOptions{Lease: q.Lease, Prefetch: q.Concurrency + q.MaxPrefetch})
	if err != nil {
		return nil, OpConsume, err
	}
	c.hooks.answered(q.Name, OpConsume)
	l = &lane{queue: q, consumer: consumer, phases: c.phases}
	l.buffer = newBuffer(q.Concurrency, ahead{
		least: q.Prefetch, most: q.MaxPrefetch, bytes: aheadBytes / len(c.worker.Queues), patience: waitFor(q.Lease), shown: c.ahead[q.Name],
	})
	l.keeper = newKeeper(consumer, c.limits.ExtendBatch, q.Name, c.hooks, c.phases.working)
	l.custody = &custody{consumer: consumer, keeper: l.keeper, buffer: l.buffer, tally: c.tally, closing: c.phases.closing}
	l.settler = newSettler(teller{
		custody: l.custody, queue: q.Name, hooks: c.hooks, timeout: c.worker.SettleTimeout, settling: c.phases.settling,
	}, c.phases.working, c.limits)
	if q.MaxPrefetch > q.Prefetch {
		l.buffer.giveBack = l.settler.giveBack
	}
	l.slots = newSlots(slots{
		buffer: l.buffer, judge: c.judge, settler: l.settler, hooks: c.hooks, working: c.phases.working,
		stuckAfter: c.worker.StuckAfter, cancelTimeout: c.worker.CancelTimeout,
	})
	l.fetcher = &fetcher{
		driver: c.driver, limits: c.limits, consumer: consumer, queue: q.Name, judge: c.judge,
		keeper: l.keeper, buffer: l.buffer, slots: l.slots, settler: l.settler, hooks: c.hooks, fail: c.fail,
		meet: func(tasks []*task) { meet(l, tasks) },
	}
	return l, "", nil
}

// start begins to work. The lane receives jobs until fetching ends.
func (l *lane) start(fetching context.Context) {
	l.keeper.start()
	l.buffer.open()
	l.fetcher.start(fetching)
}

// drop stops the slots from starting jobs, and gives back the jobs that have not
// started.
func (l *lane) drop() { l.settler.giveBack(l.buffer.close()) }

// finish waits until no job runs. If the worker stops meanwhile and does not wait any
// longer, the jobs whose handlers still run are given back without them. Those whose
// leases were lost are not its to give back, and are counted.
func (l *lane) finish() {
	quiet := l.slots.buffer.quiet
	select {
	case <-quiet: // also if the worker does not wait
		return
	default:
	}
	select {
	case <-quiet:
	case <-l.phases.waiting.Done():
		l.slots.detach(append(l.keeper.held(), l.keeper.lost()...))
	}
}

// runAlone runs one job that the lane holds, after everything else in it has ended,
// and returns when the job is settled.
func (l *lane) runAlone(t *task) {
	l.slots.resting.close()
	l.slots = l.slots.forOnly(t)
	l.slots.start(1)
	l.finish()
	<-l.settler.idle()
}

// close ends a lane that holds no jobs any more. Only those are left that something of
// the application does not let go: a codec, a retry policy or a hook. They are given up.
// ctx bounds it.
func (l *lane) close(ctx context.Context) error {
	l.slots.resting.close()
	l.keeper.close()
	if left := l.keeper.held(); len(left) > 0 {
		l.custody.tally.abandoned.Add(int64(len(left)))
		l.custody.giveUp(ctx, left)
	}
	return l.consumer.Close(ctx)
}
