package redis

import (
	"context"

	"github.com/batch-go/batch/driver"
)

const (
	// replyBudget is what one reply aims to stay below, so that a queue of large
	// bodies does not fill the memory of both sides; as in receive.lua.
	replyBudget = 8 << 20
	// firstChunk is how many jobs are read before anything is known of their
	// size: 32 of the largest are 512 MiB, and 32 small ones no detour.
	firstChunk = 32
	// pinned is the largest reply whose memory its jobs share. Beyond it each is
	// copied out, so that one long job does not keep megabytes of others alive.
	pinned = 1 << 20
)

// receipt is what settles a delivery.
type receipt struct {
	stream int
	id     string
}

// Receive fetches, and while there is nothing waits for a token and fetches
// again.
func (c *consumer) Receive(ctx context.Context, max int) ([]*driver.Delivery, error) {
	broken := false
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		got, err := c.fetch(ctx, max)
		if err != nil || len(got) > 0 {
			return got, err
		}
		w := c.wake.join()
		select {
		case err := <-w.ch:
			// A connection that broke while it waited is no failure if the next
			// fetch works. A second time in a row it is: whoever calls decides how
			// long to wait before the next try.
			if err != nil && broken {
				return nil, fail("receive", c.queue, err)
			}
			broken = err != nil
		case <-ctx.Done():
			c.wake.leave(w)
			return nil, ctx.Err()
		case <-c.done:
			c.wake.leave(w)
			return nil, closed("receive", c.queue)
		}
	}
}

// fetch gets what there is, if anything. When ctx or the consumer ends first,
// what the server hands out nevertheless is given back.
func (c *consumer) fetch(ctx context.Context, max int) ([]*driver.Delivery, error) {
	type outcome struct {
		got []*driver.Delivery
		err error
	}
	taken, gone := make(chan outcome), make(chan struct{})
	defer close(gone)
	running := c.spawn(func() {
		var o outcome
		o.got, o.err = c.fetchNow(max)
		select {
		case taken <- o:
		case <-gone:
			c.giveBack(o.got)
		}
	})
	if !running {
		return nil, closed("receive", c.queue)
	}
	select {
	case o := <-taken:
		return o.got, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.done:
		return nil, closed("receive", c.queue)
	}
}

func (c *consumer) fetchNow(max int) ([]*driver.Delivery, error) {
	for {
		chunk := firstChunk
		if per := c.perJob.Load(); per > 0 {
			chunk = int(replyBudget/per) + 1
		}
		args := append(receiveScript.args(c.k, 3), max, c.name, chunk)
		raw, err := c.d.eval(context.Background(), receiveScript, args)
		if err != nil {
			return nil, fail("receive", c.queue, err)
		}
		got, bad, err := c.parse(raw)
		if err != nil {
			return nil, fail("receive", c.queue, err)
		}
		if len(bad) > 0 {
			if err := c.bury(bad); err != nil {
				c.giveBack(got)
				return nil, err
			}
		}
		if len(got) > 0 || len(bad) == 0 {
			return got, nil
		}
	}
}

// parse reads the reply of receive: the jobs, and the entries that are none.
func (c *consumer) parse(raw []byte) (got []*driver.Delivery, bad []driver.Settlement, err error) {
	r := reader{buf: raw}
	parts := r.array()
	if parts < 2 {
		return nil, nil, errReply
	}
	wait, mine := r.int(), r.int() == 1
	if r.err == nil {
		c.plan(wait, mine)
	}
	copied := len(raw) > pinned
	for parts -= 2; parts >= 2 && r.err == nil; parts -= 2 {
		from := int(r.int())
		n := r.array()
		if n > batchSize {
			return nil, nil, errReply
		}
		deliveries := make([]driver.Delivery, n)
		receipts := make([]receipt, n)
		if got == nil {
			got = make([]*driver.Delivery, 0, n)
		}
		for i := range n {
			if r.array() != 2 {
				return nil, nil, errReply
			}
			id := r.bytes()
			var j job
			j.read(&r, copied)
			if r.err != nil {
				return nil, nil, r.err
			}
			if copied {
				receipts[i] = receipt{from, string(id)}
			} else {
				receipts[i] = receipt{from, text(id)}
			}
			m := &deliveries[i]
			m.Message = j.Message
			m.Level = driver.Level(normalStream - from)
			m.Failures, m.LastError = j.failures, j.lastError
			m.Deliveries, m.Redeliveries = j.deliveries+1, j.redeliveries
			m.Receipt = &receipts[i]
			if !j.bad {
				got = append(got, m)
				continue
			}
			s := driver.Settlement{Delivery: m, Outcome: driver.Dead, Failures: j.failures, Error: j.lastError, Reason: driver.ReasonUnreadable}
			if !j.hasBody {
				s.Outcome = driver.Done
			}
			bad = append(bad, s)
		}
	}
	if r.err != nil {
		return nil, nil, r.err
	}
	if n := len(got) + len(bad); n > 0 {
		per, before := int64(len(raw)/n)+1, c.perJob.Load()
		c.perJob.Store(max(per, (per+before)/2))
	}
	return got, bad, nil
}

// bury settles entries that are no jobs.
func (c *consumer) bury(bad []driver.Settlement) error {
	errs, err := c.settle(context.Background(), bad, "")
	_ = errs // lost leases: somebody else met them again
	return err
}

// giveBack returns jobs that were fetched for a call that had ended, as if they
// had not been handed out.
func (c *consumer) giveBack(got []*driver.Delivery) {
	if len(got) == 0 {
		return
	}
	back := make([]driver.Settlement, len(got))
	for i, d := range got {
		back[i] = driver.Settlement{Delivery: d, Outcome: driver.Release}
	}
	// If it fails, they come back when the lease ends.
	_, _ = c.settle(context.Background(), back, "return")
}
