package batch

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
)

// fetcher receives the jobs of one queue into the buffer, as many as there are
// permits for. It has a goroutine for each Receive call that the driver can have
// under way, as long as the lane can hold what they return.
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
	// fail is called if the driver was closed, and ends the worker.
	fail func(error)
	// meet takes over received jobs of which one at least is suspected.
	meet func([]*task)

	receivers sync.WaitGroup
}

// errNoJob is about a driver that returns neither a job nor an error from Receive, which would
// be asked again and again.
var errNoJob = fmt.Errorf("the driver returned no job and no error: %w", ErrBroker)

// start begins to fetch, for a lane with this number of permits, until ctx ends.
func (f *fetcher) start(ctx context.Context, permits int) {
	// One receiver moves ReceiveBatch jobs in a round trip. More receivers help
	// only if the lane can hold more jobs than that.
	n := min(f.limits.Receivers, (permits+f.limits.ReceiveBatch-1)/f.limits.ReceiveBatch)
	for range max(n, 1) {
		f.receivers.Add(1)
		go f.run(ctx)
	}
}

// one receives one job, if one comes before ctx ends. It is for a lane that was not
// started, and the job does not start.
func (f *fetcher) one(ctx context.Context) { _ = f.receive(ctx, f.buffer.acquire(1)) }

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
		err := f.receive(ctx, n)
		if err == nil {
			f.hooks.answered(f.queue, OpReceive)
			b = backoff{}
			// The slots that admit woke go first. Asking the broker for more now would
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

// receive receives jobs for n permits, and gives back the permits that are left.
func (f *fetcher) receive(ctx context.Context, n int) error {
	deliveries, err := f.consumer.Receive(ctx, n)
	deliveries = slices.DeleteFunc(deliveries, func(d *driver.Delivery) bool { return d == nil })
	if len(deliveries) != n { // more are a fault of the driver, and take permits too
		f.buffer.release(n - len(deliveries))
	}
	f.admit(deliveries)
	if err == nil && len(deliveries) == 0 {
		return errNoJob
	}
	return err
}

// admit puts received jobs into the buffer. If the lane was closed meanwhile, it
// gives them back. None of a batch with a suspect may start, as the suspect is to run
// alone.
func (f *fetcher) admit(deliveries []*driver.Delivery) {
	if len(deliveries) == 0 {
		return
	}
	tasks := make([]*task, len(deliveries))
	suspected := false
	now := time.Now()
	for i, d := range deliveries {
		tasks[i] = f.judge.newTask(d, f.queue, now)
		suspected = suspected || f.judge.suspects(d)
	}
	f.keeper.add(tasks)
	switch {
	case suspected:
		f.meet(tasks)
	case !f.buffer.put(tasks):
		f.settler.giveBack(tasks)
	}
}

// backOff reports a failed Receive and waits before the next one. It returns false
// if ctx ended first. A queue that was deleted is declared again: the next enqueue
// does so too, and a worker that already runs must not miss that job.
func (f *fetcher) backOff(ctx context.Context, err error, b *backoff) bool {
	if errors.Is(err, ErrNotFound) {
		if again := f.driver.Declare(ctx, f.queue); again != nil {
			err = again
		}
	}
	d := b.next()
	f.hooks.onFault(ctx, Fault{Queue: f.queue, Op: OpReceive, Err: err, RetryIn: d})
	return sleep(ctx, d)
}
