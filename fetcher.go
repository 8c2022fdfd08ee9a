package batch

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch/driver"
)

// fetcher receives the jobs of one queue into the buffer, as many as there are
// permits for. One goroutine does that, and others help it while there is so much to
// fetch that one Receive call after the other is too slow.
type fetcher struct {
	driver   driver.Driver
	limits   driver.Limits
	consumer driver.Consumer
	queue    string
	judge    *judge
	keeper   *keeper
	buffer   *buffer
	slots    *slots
	settler  *settler
	hooks    *hooks
	// fail is called if the driver was closed, and ends the worker.
	fail func(error)
	// meet takes over received jobs of which one at least is suspected.
	meet func([]*task)

	receivers sync.WaitGroup
	// helpers is how many goroutines help.
	helpers atomic.Int64
}

// briefTime bounds a Receive of a helper, and one for more jobs than a queue should send to
// one worker that has waited. On a queue that has become empty one call waits, for few jobs.
const briefTime = time.Second

// errNothing is the end of a Receive that was bounded, and the cause of its ctx.
var errNothing = errors.New("no job came in a brief time")

// errNoJob is about a driver that returns neither a job nor an error from Receive, which would
// be asked again and again.
var errNoJob = fmt.Errorf("the driver returned no job and no error: %w", ErrBroker)

// start begins to fetch, until ctx ends.
func (f *fetcher) start(ctx context.Context) {
	f.receivers.Add(1)
	go f.run(ctx, false)
}

// help starts a helper if the queue has plenty and the lane has room for another full
// Receive beside those under way. One receiver moves ReceiveBatch jobs in a round trip, so
// more help only if the lane can hold more jobs than that.
func (f *fetcher) help(ctx context.Context) {
	most := min(f.limits.Receivers, f.buffer.receivers(f.limits.ReceiveBatch))
	if f.helpers.Add(1) >= int64(most) {
		f.helpers.Add(-1)
		return
	}
	f.receivers.Add(1)
	go func() {
		defer f.helpers.Add(-1)
		f.run(ctx, true)
	}()
}

// one receives one job, if one comes before ctx ends. It is for a lane that was not
// started, and the job does not start.
func (f *fetcher) one(ctx context.Context) {
	f.buffer.acquire(1, false)
	_ = f.receive(ctx, 1)
}

// wait returns when the fetcher has ended, and what it gives back has been.
func (f *fetcher) wait() {
	f.receivers.Wait()
	f.buffer.giving.Wait()
}

// run receives jobs until ctx ends. A helper ends too when there are no permits, or no jobs
// for a while.
func (f *fetcher) run(ctx context.Context, helps bool) {
	defer f.receivers.Done()
	var b backoff
	for {
		n, brief := f.buffer.acquire(f.limits.ReceiveBatch, helps)
		if n == 0 {
			return
		}
		f.help(ctx)
		err := f.call(ctx, n, brief || helps)
		if err == errNothing {
			if helps {
				return
			}
			continue
		}
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

// call is receive. If it is to be brief and nothing comes, it returns errNothing.
func (f *fetcher) call(ctx context.Context, n int, brief bool) error {
	if !brief {
		return f.receive(ctx, n)
	}
	bounded, cancel := context.WithTimeoutCause(ctx, briefTime, errNothing)
	defer cancel()
	err := f.receive(bounded, n)
	if foundNothing(bounded, err) {
		return errNothing
	}
	return err
}

// foundNothing tells whether err is the end of a Receive that was bounded by ctx.
func foundNothing(ctx context.Context, err error) bool {
	return errors.Is(err, context.DeadlineExceeded) && context.Cause(ctx) == errNothing
}

// receive receives jobs for n permits, and gives back the permits that are left.
func (f *fetcher) receive(ctx context.Context, n int) error {
	start := time.Now()
	deliveries, err := f.consumer.Receive(ctx, n)
	deliveries = slices.DeleteFunc(deliveries, func(d *driver.Delivery) bool { return d == nil })
	f.buffer.fetched(time.Since(start), n, deliveries)
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
		tasks[i].received = now
		suspected = suspected || f.judge.suspects(d)
	}
	f.keeper.add(tasks)
	if suspected {
		f.meet(tasks)
		return
	}
	slots, open := f.buffer.put(tasks)
	if !open {
		f.settler.giveBack(tasks)
		return
	}
	f.slots.start(slots)
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
