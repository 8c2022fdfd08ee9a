package batch

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
)

// keeper extends the leases of all jobs that a lane holds, running, buffered or
// being settled, for as long as the process lives. A job that waits in the
// buffer ages like one that runs: if only running ones were extended, a slow
// handler would have its neighbours run twice.
type keeper struct {
	consumer driver.Consumer
	most     int // deliveries in one Extend
	queue    string
	hooks    *hooks
	// working is the context of hooks.
	working context.Context
	// lease is the broker's, zero if it is the connection. interval is how old
	// a lease grows before it is extended: a third of it leaves two more tries
	// before it ends.
	lease, interval time.Duration
	stop            context.CancelFunc
	ended           chan struct{}

	mu sync.Mutex // guards following
	// first and last are the ends of a list of the tasks held, the one extended
	// longest ago first. As all leases of a lane are of the same length, that is
	// the order in which they fall due, and every operation is O(1).
	first, last *task
}

// checkInterval is how often the driver is asked for lost deliveries where the
// lease is the connection.
const checkInterval = 10 * time.Second

// newKeeper makes a keeper for the deliveries of one consumer.
func newKeeper(consumer driver.Consumer, most int, queue string, hooks *hooks, working context.Context) *keeper {
	k := &keeper{consumer: consumer, most: most, queue: queue, hooks: hooks, working: working, ended: make(chan struct{})}
	k.lease = consumer.Lease()
	k.interval = k.lease / 3
	if k.lease == 0 {
		k.interval = checkInterval
	}
	return k
}

// start begins to extend leases.
func (k *keeper) start() {
	ctx, cancel := context.WithCancel(context.Background())
	k.stop = cancel
	go k.run(ctx)
}

// close stops extending and waits for the call under way.
func (k *keeper) close() {
	k.stop()
	<-k.ended
}

// add begins to keep tasks that were received just now.
func (k *keeper) add(tasks []*task) {
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, t := range tasks {
		t.extended = now
		k.append(t)
	}
}

// remove stops keeping tasks; for one that is not kept any more it is a no-op.
func (k *keeper) remove(tasks ...*task) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, t := range tasks {
		k.unlink(t)
	}
}

// held lists the tasks.
func (k *keeper) held() []*task {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []*task
	for t := k.first; t != nil; t = t.next {
		all = append(all, t)
	}
	return all
}

// run extends leases as they fall due, until ctx ends.
func (k *keeper) run(ctx context.Context) {
	defer close(k.ended)
	for sleep(ctx, k.untilDue()) {
		k.extendDue(ctx)
	}
}

// untilDue is the time until the oldest lease is to be extended. A task that is
// added meanwhile is not due sooner than an interval from now.
func (k *keeper) untilDue() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.first == nil {
		return k.interval
	}
	return max(time.Until(k.first.extended.Add(k.interval)), k.interval/10)
}

// extendDue extends every lease that is older than the interval.
func (k *keeper) extendDue(ctx context.Context) {
	// Those that fall due within a tenth of the interval go along, so that jobs
	// received one by one do not make a round trip each.
	horizon := time.Now().Add(k.interval/10 - k.interval)
	k.mu.Lock()
	var due []*task
	for t := k.first; t != nil && !t.extended.After(horizon); t = t.next {
		due = append(due, t)
	}
	k.mu.Unlock()
	for len(due) > 0 && ctx.Err() == nil {
		n := min(len(due), k.most)
		k.extend(ctx, due[:n])
		due = due[n:]
	}
}

// extend makes one request. The new lease is counted from before it: the broker
// may have begun it at any time since.
func (k *keeper) extend(ctx context.Context, tasks []*task) {
	deliveries := make([]*driver.Delivery, len(tasks))
	for i, t := range tasks {
		deliveries[i] = t.delivery
	}
	// A call that hangs must not use up the time of all the leases.
	calling, cancel := context.WithTimeout(ctx, k.interval)
	defer cancel()
	start := time.Now()
	errs := k.consumer.Extend(calling, deliveries)
	var fault error
	var lost []*task
	k.mu.Lock()
	for i, t := range tasks {
		var err error
		if errs != nil {
			err = errs[i]
		}
		switch {
		case !k.keeps(t):
			// Settled while the request was under way, which may be why the
			// broker does not know it.
		case err == nil:
			t.extended = start
			k.unlink(t)
			k.append(t)
		case t.ended():
			// The broker may have carried out its settlement, whose answer is on
			// its way: that answer tells whether the lease was lost.
			if errors.Is(err, ErrLeaseLost) {
				k.unlink(t)
			}
		case errors.Is(err, ErrLeaseLost), k.lease > 0 && time.Since(t.extended) > k.lease:
			k.unlink(t)
			lost = append(lost, t)
		default:
			fault = err
		}
	}
	k.mu.Unlock()
	for _, t := range lost {
		k.lose(t)
	}
	if fault != nil && ctx.Err() == nil {
		k.hooks.onFault(ctx, Fault{Queue: k.queue, Op: "extend", Err: fault, RetryIn: k.interval / 10})
	}
}

// lose ends what can be ended of a task whose lease is gone: it is not started
// if it has not been, and told if it is running.
func (k *keeper) lose(t *task) {
	if t.lost.Swap(true) {
		return
	}
	if !t.state.CompareAndSwap(taskBuffered, taskDropped) && t.state.Load() == taskRunning {
		t.cancel(ErrLeaseLost)
	}
	k.hooks.onLeaseLost(k.working, &t.job)
}

// append puts t last. k.mu must be held.
func (k *keeper) append(t *task) {
	t.previous, t.next = k.last, nil
	if k.last == nil {
		k.first = t
	} else {
		k.last.next = t
	}
	k.last = t
}

// keeps reports whether t is in the list. k.mu must be held.
func (k *keeper) keeps(t *task) bool { return t.previous != nil || t.next != nil || k.first == t }

// unlink takes t out, if it is in. k.mu must be held.
func (k *keeper) unlink(t *task) {
	if !k.keeps(t) {
		return
	}
	if t.previous == nil {
		k.first = t.next
	} else {
		t.previous.next = t.next
	}
	if t.next == nil {
		k.last = t.previous
	} else {
		t.next.previous = t.previous
	}
	t.previous, t.next = nil, nil
}
