package batch

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
)

// keeper extends the leases of all jobs that a lane holds: running, buffered or
// being settled. The lease of a job in the buffer ages like that of one that runs.
// If only running jobs were extended, a slow handler would make the jobs behind it
// run twice.
type keeper struct {
	consumer driver.Consumer
	most     int // deliveries in one Extend call
	queue    string
	hooks    *hooks
	// working is the context that hooks are called with.
	working context.Context
	// lease is the broker's, zero if the lease is the connection. interval is the
	// age at which a lease is extended: a third of it leaves time for two more
	// tries.
	lease, interval time.Duration
	// calls are those of tick that are under way.
	calls sync.WaitGroup

	mu sync.Mutex // guards following
	// extending ends when the keeper is closed. It is nil before start.
	extending context.Context
	stop      context.CancelFunc
	// alarm rings when the oldest lease falls due. It is set as long as there are tasks.
	alarm alarm
	set   bool
	// first and last are the ends of the list of tasks, the one that was extended
	// longest ago first. All leases of a lane have the same length, so this is the
	// order in which they fall due, and every operation is O(1).
	first, last *task
	// lostRunning are the tasks whose leases were lost while their handlers ran, and whose
	// handlers have not returned.
	lostRunning map[*task]struct{}
}

// checkInterval is how often the keeper asks the driver for lost deliveries if the
// lease is the connection.
const checkInterval = 10 * time.Second

// newKeeper makes a keeper for the deliveries of one consumer.
func newKeeper(consumer driver.Consumer, most int, queue string, hooks *hooks, working context.Context) *keeper {
	k := &keeper{consumer: consumer, most: most, queue: queue, hooks: hooks, working: working, lostRunning: make(map[*task]struct{})}
	k.lease = consumer.Lease()
	k.interval = k.lease / 3
	if k.lease == 0 {
		k.interval = checkInterval
	}
	return k
}

// start begins to extend leases.
func (k *keeper) start() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.extending, k.stop = context.WithCancel(context.Background())
	k.set = k.first != nil
	if k.set {
		k.alarm.ringIn(k.interval, k.tick)
	}
}

// close stops extending, if it was started, and waits for the call that is under
// way.
func (k *keeper) close() {
	k.mu.Lock()
	if k.stop != nil {
		k.stop()
	}
	k.alarm.stop()
	k.mu.Unlock()
	k.calls.Wait()
}

// add begins to keep tasks that have just been received.
func (k *keeper) add(tasks []*task) {
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, t := range tasks {
		t.extended = now
		k.append(t)
	}
	if !k.set && k.extending != nil && k.first != nil {
		k.set = true
		k.alarm.ringIn(k.interval, k.tick)
	}
}

// remove stops keeping tasks. It ignores those that are no longer kept.
func (k *keeper) remove(tasks ...*task) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, t := range tasks {
		k.unlink(t)
		delete(k.lostRunning, t)
	}
}

// held returns the tasks that are kept.
func (k *keeper) held() []*task {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []*task
	for t := k.first; t != nil; t = t.next {
		all = append(all, t)
	}
	return all
}

// lost returns the tasks whose leases were lost, and whose handlers still run.
func (k *keeper) lost() []*task {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Collect(maps.Keys(k.lostRunning))
}

// tick is called by the alarm: it extends leases, and sets that to when the oldest
// lease falls due. A task that is added meanwhile is not due for a whole interval. If none is
// kept, the alarm rests.
func (k *keeper) tick() {
	k.mu.Lock()
	defer k.mu.Unlock()
	ctx := k.extending
	if ctx.Err() != nil {
		return
	}
	k.calls.Add(1) // before close, which the waiting comes after
	defer k.calls.Done()
	k.mu.Unlock()
	k.extendDue(ctx)
	k.mu.Lock()
	k.set = k.first != nil && ctx.Err() == nil
	if k.set {
		k.alarm.ringIn(max(time.Until(k.first.extended.Add(k.interval)), k.interval/10), k.tick)
	}
}

// extendDue extends every lease that is older than the interval.
func (k *keeper) extendDue(ctx context.Context) {
	// Leases that fall due within a tenth of the interval are extended too, so
	// that jobs received one by one do not cost a round trip each.
	horizon := time.Now().Add(k.interval/10 - k.interval)
	k.mu.Lock()
	var due []*task
	for t := k.first; t != nil && !t.extended.After(horizon); t = t.next {
		due = append(due, t)
	}
	k.mu.Unlock()
	for len(due) > 0 && ctx.Err() == nil {
		n := min(len(due), k.most)
		if batch := k.kept(due[:n]); len(batch) > 0 { // some may have ended during the last one
			k.extend(ctx, batch)
		}
		due = due[n:]
	}
}

// kept leaves those out that are not kept any more. It reuses the slice.
func (k *keeper) kept(tasks []*task) []*task {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.DeleteFunc(tasks, func(t *task) bool { return !k.keeps(t) })
}

// extend makes one request. The new leases count from before the request, as the
// broker may have begun them at any time since then.
func (k *keeper) extend(ctx context.Context, tasks []*task) {
	deliveries := make([]*driver.Delivery, len(tasks))
	for i, t := range tasks {
		deliveries[i] = t.delivery
	}
	// A call that hangs must not use up the time that the leases have left.
	calling, cancel := context.WithTimeout(ctx, k.interval)
	defer cancel()
	start := time.Now()
	errs := k.consumer.Extend(calling, deliveries)
	var fault error
	var lost []*task
	k.mu.Lock()
	for i, t := range tasks {
		switch err := answer(errs, i, len(tasks)); {
		case !k.keeps(t):
			// It was settled while the request was under way, which may be why the
			// broker does not know it.
		case err == nil:
			t.extended = start
			k.unlink(t)
			k.append(t)
		case t.ended(), t.inTx.Load() && errors.Is(err, ErrLeaseLost):
			// The broker may have settled it, and the answer be on its way: that
			// answer tells whether the lease was lost. Or a transaction has ended it.
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
	k.lose(lost...)
	if fault == nil {
		k.hooks.answered(k.queue, OpExtend)
	} else if ctx.Err() == nil {
		k.hooks.onFault(ctx, Fault{Queue: k.queue, Op: OpExtend, Jobs: len(tasks), Err: fault, RetryIn: k.interval / 10})
	}
}

// lose notes that the leases of tasks are gone. Tasks in the buffer will not start,
// and the contexts of running ones are cancelled, in this order: the slot of one that
// is cancelled takes the next from the buffer.
func (k *keeper) lose(tasks ...*task) {
	var lost []*task
	k.mu.Lock()
	for _, t := range tasks {
		if !t.lost.Swap(true) {
			t.state.CompareAndSwap(taskBuffered, taskDropped)
			lost = append(lost, t)
			if t.state.Load() == taskRunning { // else nothing will remove it
				k.lostRunning[t] = struct{}{}
			}
		}
	}
	k.mu.Unlock()
	for _, t := range lost {
		if t.state.Load() == taskRunning {
			t.ctx.cancel(ErrLeaseLost)
		}
		started := t.state.Load() != taskDropped && !t.started.IsZero()
		k.hooks.onLeaseLost(t.forHooks(k.working), LeaseLost{Job: &t.job, Started: started})
	}
}

// append adds t at the end of the list. k.mu must be held.
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

// unlink removes t from the list, if it is there. k.mu must be held.
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
