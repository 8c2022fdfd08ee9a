package redis

import (
	"context"

	"github.com/batch-go/batch/driver"
)

// Receive fetches, and while there is nothing waits for a token with another
// fetch behind it.
func (c *consumer) Receive(ctx context.Context, max int) ([]*driver.Delivery, error) {
	if err := faults.CheckReceive(c.queue, max, batchSize); err != nil {
		return nil, err
	}
	if !c.receiving.Enter() {
		return nil, closed("receive", c.queue)
	}
	got, late, err := c.receive(ctx, max)
	if len(late) == 0 {
		c.receiving.Exit()
		return got, err
	}
	// The call returns at once, and Stop waits for what it leaves behind.
	go func() {
		defer c.receiving.Exit()
		c.fetcher.giveBack(late)
	}()
	return nil, err
}

// receive is Receive. late are jobs that came when ctx or the receiving had ended, to
// be given back.
func (c *consumer) receive(ctx context.Context, max int) (got, late []*driver.Delivery, err error) {
	broken := false
	for {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		got, err := c.fetch(ctx, max)
		if err != nil || len(got) > 0 {
			return got, nil, err
		}
		w := c.waker.add(max)
		select {
		case f := <-w.served:
			if len(f.jobs) > 0 {
				return f.jobs, nil, nil
			}
			// A connection that broke while the call waited is no failure if the
			// next fetch works. A second time in a row it is one: the caller
			// decides how long to wait before the next try.
			if f.err != nil && broken {
				return nil, nil, fail("receive", c.queue, f.err)
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
		var o outcome
		o.jobs, o.err = c.fetcher.fetch(max)
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
