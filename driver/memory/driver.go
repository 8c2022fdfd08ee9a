package memory

import (
	"context"
	"time"

	"github.com/batch-go/batch/driver"
)

// Driver is a handle on a [Broker], with every capability that package driver
// defines. Its methods may be called concurrently.
type Driver struct{ base }

// Portable is a handle on a [Broker] that has the methods of driver.Driver only,
// and no capability. It shows what a program that runs on every broker may rely
// on: what needs a capability does not compile with it. Its methods may be
// called concurrently.
type Portable struct{ base }

var (
	_ driver.Driver         = (*Driver)(nil)
	_ driver.Prioritizer    = (*Driver)(nil)
	_ driver.Delayer        = (*Driver)(nil)
	_ driver.Deduplicator   = (*Driver)(nil)
	_ driver.Grouper        = (*Driver)(nil)
	_ driver.AtomicEnqueuer = (*Driver)(nil)
	_ driver.Inspector      = (*Driver)(nil)
	_ driver.Pauser         = (*Driver)(nil)
	_ driver.Importer       = (*Driver)(nil)
	_ driver.QueueLister    = (*Driver)(nil)
	_ driver.Purger         = (*Driver)(nil)

	_ driver.Driver = (*Portable)(nil)
)

// base is what both driver types share.
type base struct {
	broker *Broker
	conn   *connection
}

// Broker is the broker that the handle is on.
func (d *base) Broker() *Broker { return d.broker }

// Info describes the driver and its limits.
func (d *base) Info() driver.Info {
	return driver.Info{Driver: Name, Broker: Name, Version: "1", Limits: d.broker.limits}
}

// PriorityLevels is 5: all are told apart.
func (d *Driver) PriorityLevels() int { return levels }

// MaxDelay is ten years.
func (d *Driver) MaxDelay() time.Duration { return maxDelay }

// DedupWindow is [Options].DedupWindow.
func (d *Driver) DedupWindow() time.Duration { return d.broker.options.DedupWindow }

// ImportWindow is that of dedup keys.
func (d *Driver) ImportWindow() time.Duration { return d.DedupWindow() }

// MaxGroups is 0: only memory bounds them.
func (d *Driver) MaxGroups() int { return 0 }

// AtomicLimit is the same as Limits.EnqueueBatch.
func (d *Driver) AtomicLimit() int { return maxBatch }

// Close ends the handle and its consumers. It does not wait: the only calls that
// do are those of Receive, which return at once, and no call has an effect after
// Close. What the consumers held stays leased until the leases end. Open transactions
// of [Driver.Begin] are rolled back. The broker of
// a memory://name URL ends with its last handle.
func (d *base) Close(context.Context) error {
	if d.conn.close() {
		d.broker.holders.endUnusable()
		d.broker.disconnect(d.conn)
	}
	return nil
}

// begin finds the queue of a call and begins an operation on it. The caller ends
// that, unless there is an error.
func (d *base) begin(ctx context.Context, op, queue string) (*queueState, instant, error) {
	if err := fail(op, queue, ctx.Err()); err != nil {
		return nil, 0, err
	}
	for {
		q := d.broker.queue(queue)
		if q == nil {
			// A handle that is not usable says so, whatever the queue.
			if err := fail(op, queue, d.conn.usable()); err != nil {
				return nil, 0, err
			}
			return nil, 0, faults.Refuse(op, queue, driver.ErrNotFound, errNoQueue, "")
		}
		now := q.begin()
		if err := fail(op, queue, d.conn.usable()); err != nil {
			q.mu.Unlock()
			return nil, 0, err
		}
		if !q.deleted {
			return q, now, nil
		}
		// Deleted between the look and the lock, and perhaps declared anew.
		q.mu.Unlock()
	}
}
