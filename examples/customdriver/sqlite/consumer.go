package sqlite

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/batch-go/batch/driver"
)

// poll is how often a waiting Receive looks at the file, as SQLite notifies nobody: so late it sees what another process
// enqueued, and that a delay is over or a lease ended. The contract allows a second. Looking more often costs the others.
const poll = 200 * time.Millisecond

// consumer receives from one queue.
type consumer struct {
	store
	queue string
	lease time.Duration
}

// receipt is the fence: the token is new for each delivery, and nobody else's.
type receipt struct{ seq, token int64 }

// Consume opens a consumer, which ends with the driver.
func (d *Driver) Consume(ctx context.Context, queue string, o driver.ConsumeOptions) (driver.Consumer, error) {
	if o.Lease < limits.MinLease || o.Lease > limits.MaxLease {
		return nil, d.fail("consume", queue, driver.ErrConfig, fmt.Errorf("a lease of %s", o.Lease))
	}
	c := &consumer{store: d.store, queue: queue, lease: o.Lease}
	c.alive, c.end = context.WithCancelCause(d.alive)
	return c, d.Declare(ctx, queue)
}

// Lease is what the consumer was opened with.
func (c *consumer) Lease() time.Duration { return c.lease }

// Receive waits until there is a job. That ctx or the consumer has ended, the next look tells.
func (c *consumer) Receive(ctx context.Context, max int) ([]*driver.Delivery, error) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		deliveries, err := c.take(ctx, max)
		if err != nil || len(deliveries) > 0 {
			return deliveries, err
		}
		select {
		case <-c.bell(c.queue):
		case <-tick.C:
		case <-ctx.Done():
		case <-c.alive.Done():
		}
	}
}

// take leases at most n jobs, from now. One that cannot be read must not block those behind it.
func (c *consumer) take(ctx context.Context, n int) (deliveries []*driver.Delivery, err error) {
	err = c.change(ctx, "receive", c.queue, n, func(t *tx) {
		for _, j := range t.jobs("state = 'waiting' ORDER BY level DESC, seq", c.queue, n) {
			if !j.readable {
				t.exec("UPDATE jobs SET state = 'dead', due = ?, reason = ? WHERE seq = ?", t.now, driver.ReasonUnreadable, j.seq)
				continue
			}
			token := rand.Int64()
			t.exec("UPDATE jobs SET state = 'running', due = ?, token = ?, deliveries = deliveries + 1 WHERE seq = ?",
				t.now+int64(c.lease), token, j.seq)
			j.Receipt = receipt{j.seq, token}
			j.Deliveries++
			deliveries = append(deliveries, &j.Delivery)
		}
	})
	if err != nil {
		return nil, err // what it may have leased comes back when the lease ends
	}
	return deliveries, nil
}

// Settle ends deliveries.
func (c *consumer) Settle(ctx context.Context, settlements []driver.Settlement) []error {
	defer c.ring(c.queue)
	return c.fenced(ctx, "settle", len(settlements), func(t *tx, i int) int {
		s, state := settlements[i], "waiting"
		r, _ := s.Delivery.Receipt.(receipt)
		var due int64
		switch s.Outcome {
		case driver.Done:
			return t.exec("DELETE FROM jobs WHERE seq = ? AND token = ?", r.seq, r.token)
		case driver.Retry:
			if due = t.after(s.Delay); due > 0 {
				state = "scheduled"
			}
		case driver.Release: // its history as it was
			s.Failures, s.Error = s.Delivery.Failures, s.Delivery.LastError
		case driver.Dead:
			state, due = "dead", t.now
		}
		return t.exec(`UPDATE jobs SET state = ?, due = ?, failures = ?, error = ?, reason = ?, token = 0, redeliveries = 0
			WHERE seq = ? AND token = ?`, state, due, s.Failures, s.Error, s.Reason, r.seq, r.token)
	})
}

// Extend renews leases, from now.
func (c *consumer) Extend(ctx context.Context, deliveries []*driver.Delivery) []error {
	return c.fenced(ctx, "extend", len(deliveries), func(t *tx, i int) int {
		r, _ := deliveries[i].Receipt.(receipt)
		return t.exec("UPDATE jobs SET due = ? WHERE seq = ? AND token = ?", t.now+int64(c.lease), r.seq, r.token)
	})
}

// fenced changes n deliveries. One whose token is not the job's any more touches no row: its lease is lost.
func (c *consumer) fenced(ctx context.Context, op string, n int, update func(t *tx, i int) int) []error {
	errs := make([]error, n)
	err := c.change(ctx, op, c.queue, n, func(t *tx) {
		for i := range errs {
			if update(t, i) == 0 {
				errs[i] = c.fail(op, c.queue, driver.ErrLeaseLost, nil)
			}
		}
	})
	if err != nil {
		return slices.Repeat([]error{err}, n)
	}
	return errs
}

// Close leaves what the consumer holds until the leases end.
func (c *consumer) Close(context.Context) error {
	c.end(driver.ErrClosed)
	return nil
}
