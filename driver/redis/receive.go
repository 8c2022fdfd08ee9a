package redis

import (
	"context"

	"github.com/batch-go/batch/driver"
)

// Receive fetches, and while there is nothing waits for a token with another
// fetch behind it. If the fetch before has left nothing in the queue, there is a
// token since there is something, and Receive waits for it at once.
func (c *consumer) Receive(ctx context.Context, max int) ([]*driver.Delivery, error) {
	if err := faults.CheckReceive(c.queue, max, batchSize); err != nil {
		return nil, err
	}
	if !c.receiving.Enter() {
		return nil, closed("receive", c.queue)
	}
	got, late, err := c.receive(ctx, max)
	if len(late.jobs) == 0 && !late.token {
		c.receiving.Exit()
		return got, err
	}
	// The call returns at once, and Stop waits for what it leaves behind.
	go func() {
		defer c.receiving.Exit()
		if late.token {
			c.waker.passOn()
		}
		c.fetcher.giveBack(late.jobs)
	}()
	return nil, err
}

// receive is Receive. late is what came when ctx or the receiving had ended: jobs, to
// be given back, or a token.
func (c *consumer) receive(ctx context.Context, max int) (got []*driver.Delivery, late served, err error) {
	broken, token := false, false
	for first := true; ; first = false {
		if err := ctx.Err(); err != nil {
			return nil, served{token: token}, err
		}
		if !first || !c.member.tellsSoon() || !c.fetcher.emptied.Load() {
			got, err := c.fetch(ctx, max)
			if err != nil {
				return nil, served{token: token && (ctx.Err() != nil || c.stopped())}, err
			}
			if len(got) > 0 {
				return got, served{}, nil
			}
		}
		w := c.waker.add(max)
		select {
		case f := <-w.served:
			if len(f.jobs) > 0 {
				return f.jobs, served{}, nil
			}
			token = f.token
			// A connection that broke while the call waited is no failure if the
			// next fetch works. A second time in a row it is one: the caller
			// decides how long to wait before the next try.
			if f.err != nil && broken {
				return nil, served{}, fail("receive", c.queue, f.err)
			}
			broken = f.err != nil
		case <-ctx.Done():
			return nil, c.waker.remove(w), ctx.Err()
		case <-c.stopping:
			return nil, c.waker.remove(w), closed("receive", c.queue)
		}
	}
}

// fetch gets what there is, if anything. When ctx or the receiving ends first,
// what the server hands out nevertheless is given back.
func (c *consumer) fetch(ctx context.Context, max int) ([]*driver.Delivery, error) {
	type outcome struct {
		jobs []*driver.Delivery
		err  error
	}
	taken, callEnded := make(chan outcome), make(chan struct{})
	defer close(callEnded)
	running := c.receiving.Go(func() {
		if !c.conn.places.take(callEnded) {
			return
		}
		var o outcome
		o.jobs, o.err = c.fetcher.fetch(max)
		c.conn.places.free()
		select {
		case taken <- o:
		case <-callEnded:
			c.fetcher.giveBack(o.jobs)
		}
	})
	if !running {
		return nil, closed("receive", c.queue)
	}
	select {
	case o := <-taken:
		return o.jobs, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.stopping:
		return nil, closed("receive", c.queue)
	}
}
