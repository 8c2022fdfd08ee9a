package batch

import (
	"context"
	"errors"
	"runtime"
	"sync"

	"github.com/batch-go/batch/driver"
)

// fetcher receives the jobs of one queue into the buffer, as many as there are
// permits for. Where the driver can have several Receive calls under way, and the
// lane hold what they return, it has as many goroutines.
type fetcher struct {
	driver   driver.Driver
	limits   driver.Limits
	consumer driver.Consumer
	queue    string
	judge    *judge
	keeper   *keeper
	buffer   *buffer
	settler  *settler
	hooks    *hooks
	// fail ends the worker, whose driver was closed under it.
	fail func(error)

	receivers sync.WaitGroup
}

// start begins to fetch for a lane of so many permits, until ctx ends.
func (f *fetcher) start(ctx context.Context, permits int) {
	// One receiver moves ReceiveBatch jobs a round trip; more of them are of use
	// only if the lane can hold more than that.
	n := min(f.limits.Receivers, (permits+f.limits.ReceiveBatch-1)/f.limits.ReceiveBatch)
	for range max(n, 1) {
		f.receivers.Add(1)
		go f.run(ctx)
	}
}

// wait returns when the fetcher has ended.
func (f *fetcher) wait() { f.receivers.Wait() }

// run receives jobs until ctx ends.
func (f *fetcher) run(ctx context.Context) {
	defer f.receivers.Done()
	var b backoff
	for {
		n := f.buffer.acquire(f.limits.ReceiveBatch)
		if n == 0 {
			return
		}
		deliveries, err := f.consumer.Receive(ctx, n)
		if len(deliveries) < n {
			f.buffer.release(n - len(deliveries))
		}
		f.admit(deliveries)
		if err == nil {
			b = backoff{}
			// The slots that admit woke go first: asking the broker for more would
			// keep this processor busy while they wait for another one to wake up.
			runtime.Gosched()
			continue
		}
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, ErrClosed) {
			f.fail(err)
			return
		}
		if !f.backOff(ctx, err, &b) {
			return
		}
	}
}

// admit takes received jobs into the buffer. On a lane that was closed
// meanwhile they are given back.
func (f *fetcher) admit(deliveries []*driver.Delivery) {
	if len(deliveries) == 0 {
		return
	}
	tasks := make([]*task, len(deliveries))
	for i, d := range deliveries {
		tasks[i] = f.judge.newTask(d, f.queue)
	}
	f.keeper.add(tasks)
	if !f.buffer.put(tasks) {
		f.settler.giveBack(tasks)
	}
}

// backOff reports a failed Receive and waits before the next; false says that
// ctx ended first. A queue that somebody dropped is declared again: enqueueing
// does so too, and workers that are there already must not miss what is enqueued
// then.
func (f *fetcher) backOff(ctx context.Context, err error, b *backoff) bool {
	if errors.Is(err, ErrNotFound) {
		if again := f.driver.Declare(ctx, f.queue); again != nil {
			err = again
		}
	}
	d := b.next()
	f.hooks.onFault(ctx, Fault{Queue: f.queue, Op: "receive", Err: err, RetryIn: d})
	return sleep(ctx, d)
}
