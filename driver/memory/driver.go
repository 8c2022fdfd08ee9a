package memory

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch/driver"
)

// Driver is a handle on a [Broker], with every capability that package driver
// defines. Its methods may be called concurrently.
type Driver struct {
	b *Broker
	// state is looked at under the lock of the queue that a call works on, so
	// that no call has an effect once Close or Crash has been there.
	state atomic.Int32
}

// The states of a handle.
const (
	stateOpen int32 = iota
	stateCut
	stateClosed
)

var (
	_ driver.Driver         = (*Driver)(nil)
	_ driver.Prioritizer    = (*Driver)(nil)
	_ driver.Delayer        = (*Driver)(nil)
	_ driver.Deduplicator   = (*Driver)(nil)
	_ driver.Grouper        = (*Driver)(nil)
	_ driver.AtomicEnqueuer = (*Driver)(nil)
	_ driver.Inspector      = (*Driver)(nil)
	_ driver.Pauser         = (*Driver)(nil)
)

// New makes a handle on a new broker with default [Options].
func New() *Driver {
	b := newBroker(Options{}.withDefaults(), "")
	d := &Driver{b: b}
	b.handles[d] = struct{}{}
	return d
}

// Broker is the broker that the handle is on.
func (d *Driver) Broker() *Broker { return d.b }

// Info describes the driver and its limits.
func (d *Driver) Info() driver.Info {
	return driver.Info{Driver: driverName, Broker: driverName, Version: "1", Limits: d.b.limits}
}

// PriorityLevels is 5: all are told apart.
func (d *Driver) PriorityLevels() int { return levels }

// MaxDelay is ten years.
func (d *Driver) MaxDelay() time.Duration { return maxDelay }

// DedupWindow is [Options].DedupWindow.
func (d *Driver) DedupWindow() time.Duration { return d.b.options.DedupWindow }

// MaxGroups is 0: memory bounds them.
func (d *Driver) MaxGroups() int { return 0 }

// AtomicLimit is the same as Limits.EnqueueBatch.
func (d *Driver) AtomicLimit() int { return maxBatch }

// usable is nil, or why the handle is not.
func (d *Driver) usable() error {
	switch d.state.Load() {
	case stateOpen:
		return nil
	case stateCut:
		return driver.ErrUnavailable
	}
	return driver.ErrClosed
}

// lock finds the queue of a call and locks it. The caller unlocks it, unless
// there is an error.
func (d *Driver) lock(ctx context.Context, op, queue string) (*queue, instant, error) {
	if err := ended(ctx, op, queue); err != nil {
		return nil, 0, err
	}
	for {
		q := d.b.queue(queue)
		if q == nil {
			// A handle that is not usable says so, whatever the queue.
			if err := d.usable(); err != nil {
				return nil, 0, refuse(op, queue, err, nil, "")
			}
			return nil, 0, refuse(op, queue, driver.ErrNotFound, nil, "declare the queue first")
		}
		q.mu.Lock()
		if err := d.usable(); err != nil {
			q.mu.Unlock()
			return nil, 0, refuse(op, queue, err, nil, "")
		}
		if !q.deleted {
			now := d.b.now()
			q.advance(now)
			return q, now, nil
		}
		// Deleted between the look and the lock, and perhaps declared anew.
		q.mu.Unlock()
	}
}

// Declare makes the queue exist. A name is all that a queue has, so that it
// never conflicts.
func (d *Driver) Declare(ctx context.Context, queue string) error {
	if err := ended(ctx, "declare", queue); err != nil {
		return err
	}
	b := d.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := d.usable(); err != nil {
		return refuse("declare", queue, err, nil, "")
	}
	if b.queues[queue] == nil {
		b.queues[queue] = newQueue(b, queue)
	}
	return nil
}

// DeleteQueue removes the queue with its jobs, dead letters and remembered
// keys. Receive calls that wait on it return driver.ErrNotFound.
func (d *Driver) DeleteQueue(ctx context.Context, queue string) error {
	if err := ended(ctx, "delete queue", queue); err != nil {
		return err
	}
	b := d.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := d.usable(); err != nil {
		return refuse("delete queue", queue, err, nil, "")
	}
	if q := b.queues[queue]; q != nil {
		delete(b.queues, queue)
		q.end()
	}
	return nil
}

// Depth counts the queue's jobs, exactly.
func (d *Driver) Depth(ctx context.Context, queue string) (driver.Depth, error) {
	q, _, err := d.lock(ctx, "depth", queue)
	if err != nil {
		return driver.Depth{}, err
	}
	defer q.mu.Unlock()
	return driver.Depth{
		Waiting:   int64(q.nready + q.nparked),
		Scheduled: int64(q.scheduled.n),
		Running:   int64(q.running),
		Dead:      int64(q.dead.n),
	}, nil
}

// Pause stops handing out the queue's jobs. What was handed out goes on.
func (d *Driver) Pause(ctx context.Context, queue string) error {
	q, _, err := d.lock(ctx, "pause", queue)
	if err != nil {
		return err
	}
	q.paused = true
	q.mu.Unlock()
	return nil
}

// Resume goes on handing out the queue's jobs.
func (d *Driver) Resume(ctx context.Context, queue string) error {
	q, now, err := d.lock(ctx, "resume", queue)
	if err != nil {
		return err
	}
	q.paused = false
	q.leave(now)
	return nil
}

// Paused tells whether the queue is paused.
func (d *Driver) Paused(ctx context.Context, queue string) (bool, error) {
	q, _, err := d.lock(ctx, "paused", queue)
	if err != nil {
		return false, err
	}
	defer q.mu.Unlock()
	return q.paused, nil
}

// Close ends the handle and its consumers. It does not wait, since no call but
// Receive does, and Receive returns at once; no call has an effect after it.
// What the consumers held stays leased until the leases end. The broker of a
// memory://name URL ends with its last handle.
func (d *Driver) Close(context.Context) error {
	if d.state.Swap(stateClosed) != stateClosed {
		d.b.leave(d)
	}
	return nil
}
