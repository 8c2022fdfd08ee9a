package conformance_test

import (
	"context"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// faults are ways to break a driver. Each is nil or changes one thing of what
// passes between the suite and the memory driver. All handles on a broker share
// one, as the fault of a driver is in all its processes.
type faults struct {
	// store turns one message into those that are stored.
	store func(*driver.Message) []*driver.Message
	// hand changes a delivery that was received.
	hand func(*driver.Delivery)
	// settle changes a settlement before it is carried out.
	settle func(*driver.Settlement)
	// settled changes the error of one.
	settled func(error) error
	// extend replaces Extend.
	extend func(next func() []error) []error
	// receive replaces Receive.
	receive func(ctx context.Context, next func(context.Context) ([]*driver.Delivery, error)) ([]*driver.Delivery, error)
	// info changes Info.
	info func(*driver.Info)
	// depth changes Depth.
	depth func(*driver.Depth)
	// letters changes pages of dead letters.
	letters func(page []driver.DeadLetter, next string) ([]driver.DeadLetter, string)
	// redrive replaces Redrive.
	redrive func(which driver.Selection, next func(driver.Selection) (int, error)) (int, error)
	// declare replaces Declare.
	declare func(next func() error) error
	// deleteQueue replaces DeleteQueue.
	deleteQueue func(next func() error) error
	// atomic replaces EnqueueAtomic.
	atomic func(d driver.Driver, ctx context.Context, queue string, all []*driver.Message, next func() error) error
	// list changes pages of List.
	list func(page []driver.Entry, next string) ([]driver.Entry, string)
	// pause replaces Pause.
	pause func(next func() error) error
	// paused replaces Paused.
	paused func() (bool, error)
	// call is asked before every call to the broker.
	call func(ctx context.Context) error
	spiFaults
	txFaults
}

// broken is the memory driver with faults. It has every capability.
type broken struct {
	*memory.Driver
	f *faults
}

func (b *broken) before(ctx context.Context) error {
	if b.f.call == nil {
		return nil
	}
	return b.f.call(ctx)
}

func (b *broken) Info() driver.Info {
	info := b.Driver.Info()
	if b.f.info != nil {
		b.f.info(&info)
	}
	return info
}

func (b *broken) Declare(ctx context.Context, queue string) error {
	if err := b.before(ctx); err != nil {
		return err
	}
	next := func() error { return b.Driver.Declare(ctx, queue) }
	if b.f.declare == nil {
		return next()
	}
	return b.f.declare(next)
}

func (b *broken) DeleteQueue(ctx context.Context, queue string) error {
	next := func() error { return b.Driver.DeleteQueue(ctx, queue) }
	if b.f.deleteQueue == nil {
		return next()
	}
	return b.f.deleteQueue(next)
}

func (b *broken) Enqueue(ctx context.Context, queue string, all []*driver.Message) []driver.Result {
	b.touch(ctx, "Enqueue", queue)
	if err := b.before(ctx); err != nil {
		results := make([]driver.Result, len(all))
		for i := range results {
			results[i].Err = err
		}
		return results
	}
	if b.f.enqueue != nil {
		return b.f.enqueue(queue, all, func(some []*driver.Message) []driver.Result { return b.Driver.Enqueue(ctx, queue, some) })
	}
	if b.f.store == nil {
		return b.Driver.Enqueue(ctx, queue, all)
	}
	results := make([]driver.Result, len(all))
	for i, m := range all {
		for _, stored := range b.f.store(m) {
			if r := b.Driver.Enqueue(ctx, queue, []*driver.Message{stored}); r != nil {
				results[i] = r[0]
			}
		}
	}
	return results
}

func (b *broken) EnqueueAtomic(ctx context.Context, queue string, all []*driver.Message) error {
	next := func() error { return b.Driver.EnqueueAtomic(ctx, queue, all) }
	if b.f.atomic == nil {
		return next()
	}
	return b.f.atomic(b.Driver, ctx, queue, all, next)
}

func (b *broken) Depth(ctx context.Context, queue string) (driver.Depth, error) {
	if err := b.before(ctx); err != nil {
		return driver.Depth{}, err
	}
	b.touch(ctx, "Depth", queue)
	depth, err := b.Driver.Depth(ctx, queue)
	if b.f.depth != nil {
		b.f.depth(&depth)
	}
	return depth, b.answered("Depth", err)
}

func (b *broken) DeadLetters(ctx context.Context, queue, cursor string, max int) ([]driver.DeadLetter, string, error) {
	if err := b.before(ctx); err != nil {
		return nil, "", err
	}
	b.touch(ctx, "DeadLetters", queue)
	page, next, err := b.Driver.DeadLetters(ctx, queue, cursor, max)
	if b.f.letters != nil {
		page, next = b.f.letters(page, next)
	}
	return page, next, b.answered("DeadLetters", err)
}

func (b *broken) Redrive(ctx context.Context, queue string, which driver.Selection) (int, error) {
	next := func(which driver.Selection) (int, error) { return b.Driver.Redrive(ctx, queue, which) }
	if b.f.redrive == nil {
		return next(which)
	}
	return b.f.redrive(which, next)
}

func (b *broken) List(ctx context.Context, queue string, state driver.State, cursor string, max int) ([]driver.Entry, string, error) {
	page, next, err := b.Driver.List(ctx, queue, state, cursor, max)
	if b.f.show != nil {
		for i := range page {
			b.f.show(&page[i])
		}
	}
	if b.f.list != nil {
		page, next = b.f.list(page, next)
	}
	return page, next, err
}

func (b *broken) Pause(ctx context.Context, queue string) error {
	next := func() error { return b.Driver.Pause(ctx, queue) }
	if b.f.pause == nil {
		return next()
	}
	return b.f.pause(next)
}

func (b *broken) Paused(ctx context.Context, queue string) (bool, error) {
	if b.f.paused == nil {
		return b.Driver.Paused(ctx, queue)
	}
	return b.f.paused()
}

func (b *broken) Consume(ctx context.Context, queue string, o driver.ConsumeOptions) (driver.Consumer, error) {
	if err := b.before(ctx); err != nil {
		return nil, err
	}
	c, err := b.Driver.Consume(ctx, queue, o)
	if err != nil {
		return nil, err
	}
	if b.f.prefetch {
		c = &prefetching{Consumer: c, f: b.f, hold: o.Prefetch}
	}
	return &brokenConsumer{Consumer: c, b: b}, nil
}

type brokenConsumer struct {
	driver.Consumer
	b *broken
}

func (c *brokenConsumer) Receive(ctx context.Context, max int) ([]*driver.Delivery, error) {
	if err := c.b.before(ctx); err != nil {
		return nil, err
	}
	next := func(ctx context.Context) ([]*driver.Delivery, error) { return c.Consumer.Receive(ctx, max) }
	if c.b.f.receive == nil {
		return c.handed(next(ctx))
	}
	return c.handed(c.b.f.receive(ctx, next))
}

func (c *brokenConsumer) handed(all []*driver.Delivery, err error) ([]*driver.Delivery, error) {
	if c.b.f.hand != nil {
		for _, d := range all {
			c.b.f.hand(d)
		}
	}
	return all, err
}

func (c *brokenConsumer) Settle(ctx context.Context, all []driver.Settlement) []error {
	if err := c.b.before(ctx); err != nil {
		return same(err, len(all))
	}
	changed := append([]driver.Settlement(nil), all...)
	if c.b.f.settle != nil {
		for i := range changed {
			c.b.f.settle(&changed[i])
		}
	}
	errs := c.Consumer.Settle(ctx, changed)
	if c.b.f.settled != nil {
		for i := range errs {
			errs[i] = c.b.f.settled(errs[i])
		}
	}
	return errs
}

func (c *brokenConsumer) Extend(ctx context.Context, all []*driver.Delivery) []error {
	if err := c.b.before(ctx); err != nil {
		return same(err, len(all))
	}
	next := func() []error { return c.Consumer.Extend(ctx, all) }
	if c.b.f.extend == nil {
		return next()
	}
	return c.b.f.extend(next)
}

func same(err error, n int) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}
