package conformance_test

import (
	"context"
	"sync"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// spiFaults are more ways to break a driver, as faults has them.
type spiFaults struct {
	// touched is called before some calls about a queue.
	touched func(ctx context.Context, d *memory.Driver, op, queue string)
	// answer changes the error of some calls about a queue.
	answer func(op string, err error) error
	// enqueue replaces Enqueue.
	enqueue func(queue string, all []*driver.Message, next func([]*driver.Message) []driver.Result) []driver.Result
	// show changes what List and Find show.
	show func(*driver.Entry)
	// removing is called before a job is removed.
	removing func(id string)
	// entry changes what is imported.
	entry func(*driver.Entry)
	// load replaces the import of one entry.
	load func(ctx context.Context, d *memory.Driver, queue string, e *driver.Entry, next func() driver.Result) driver.Result
	// queues changes what ListQueues returns.
	queues func([]string) []string
	// purge replaces Purge.
	purge func(ctx context.Context, d *memory.Driver, queue string, next func() (int, error)) (int, error)
	// stop replaces Stop.
	stop func(ctx context.Context, c driver.Consumer) error
	// prefetch makes consumers take as many jobs as they may hold.
	prefetch bool
	// surplus says how Stop ends a delivery that was prefetched, and that Receive
	// returned or not: it returns 0 to leave it.
	surplus func(d *driver.Delivery, returned bool) driver.Outcome
}

func (b *broken) touch(ctx context.Context, op, queue string) {
	if b.f.touched != nil {
		b.f.touched(ctx, b.Driver, op, queue)
	}
}

func (b *broken) answered(op string, err error) error {
	if b.f.answer == nil {
		return err
	}
	return b.f.answer(op, err)
}

func (b *broken) removed(ids ...string) {
	if b.f.removing == nil {
		return
	}
	for _, id := range ids {
		b.f.removing(id)
	}
}

func (b *broken) Discard(ctx context.Context, queue string, which driver.Selection) (int, error) {
	b.touch(ctx, "Discard", queue)
	b.removed(which.IDs...)
	return b.Driver.Discard(ctx, queue, which)
}

func (b *broken) Find(ctx context.Context, queue, id string) (driver.Entry, error) {
	e, err := b.Driver.Find(ctx, queue, id)
	if b.f.show != nil {
		b.f.show(&e)
	}
	return e, err
}

func (b *broken) Delete(ctx context.Context, queue, id string) error {
	b.removed(id)
	return b.Driver.Delete(ctx, queue, id)
}

func (b *broken) Resume(ctx context.Context, queue string) error {
	b.touch(ctx, "Resume", queue)
	return b.Driver.Resume(ctx, queue)
}

func (b *broken) Import(ctx context.Context, queue string, entries []*driver.Entry) []driver.Result {
	b.touch(ctx, "Import", queue)
	results := make([]driver.Result, len(entries))
	for i, e := range entries {
		changed := *e
		if b.f.entry != nil {
			b.f.entry(&changed)
		}
		next := func() driver.Result {
			for _, r := range b.Driver.Import(ctx, queue, []*driver.Entry{&changed}) {
				return r
			}
			return driver.Result{}
		}
		if b.f.load == nil {
			results[i] = next()
		} else {
			results[i] = b.f.load(ctx, b.Driver, queue, &changed, next)
		}
	}
	return results
}

func (b *broken) ListQueues(ctx context.Context) ([]string, error) {
	names, err := b.Driver.ListQueues(ctx)
	if b.f.queues != nil {
		names = b.f.queues(names)
	}
	return names, err
}

func (b *broken) Purge(ctx context.Context, queue string) (int, error) {
	b.touch(ctx, "Purge", queue)
	waiting, _, _ := b.Driver.List(ctx, queue, driver.StateWaiting, "", 1000)
	for _, e := range waiting {
		b.removed(e.ID)
	}
	next := func() (int, error) { return b.Driver.Purge(ctx, queue) }
	if b.f.purge == nil {
		return next()
	}
	return b.f.purge(ctx, b.Driver, queue, next)
}

func (c *brokenConsumer) Stop(ctx context.Context) error {
	if c.b.f.stop == nil {
		return c.Consumer.Stop(ctx)
	}
	return c.b.f.stop(ctx, c.Consumer)
}

// prefetching is a consumer that takes all that it may hold, and hands it out one
// Receive after the other.
type prefetching struct {
	driver.Consumer
	f    *faults
	hold int

	mu     sync.Mutex // guards following
	spare  []*driver.Delivery
	handed []*driver.Delivery
}

func (c *prefetching) Receive(ctx context.Context, max int) ([]*driver.Delivery, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.spare) == 0 {
		got, err := c.Consumer.Receive(ctx, c.hold)
		if err != nil {
			return nil, err
		}
		c.spare = got
	}
	got := c.spare[:min(max, len(c.spare))]
	c.spare = c.spare[len(got):]
	c.handed = append(c.handed, got...)
	return got, nil
}

func (c *prefetching) Stop(ctx context.Context) error {
	if err := c.Consumer.Stop(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for returned, all := range map[bool][]*driver.Delivery{false: c.spare, true: c.handed} {
		for _, d := range all {
			if o := c.f.surplus(d, returned); o != 0 {
				c.Consumer.Settle(ctx, []driver.Settlement{{Delivery: d, Outcome: o}})
			}
		}
	}
	c.spare = nil
	return nil
}
