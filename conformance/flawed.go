package conformance

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// flawed is a handle on a broker that does not always do what it is asked: it refuses,
// is slow, or breaks off. The cases on the core have it in front of the real one. Each
// function is nil or replaces a call; next makes the real one.
type flawed struct {
	driver.Driver
	enqueue func(messages []*driver.Message, next func([]*driver.Message) []driver.Result) []driver.Result
	settle  func(ctx context.Context, settlements []driver.Settlement, next func([]driver.Settlement) []error) []error
	extend  func(deliveries []*driver.Delivery, next func([]*driver.Delivery) []error) []error
	receive func(next func() ([]*driver.Delivery, error)) ([]*driver.Delivery, error)
	stopped func() // is called before a consumer is stopped

	mu        sync.Mutex // guards following
	abandoned map[string]int
}

// Enqueue is what enqueue makes of it.
func (d *flawed) Enqueue(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	next := func(some []*driver.Message) []driver.Result { return d.Driver.Enqueue(ctx, queue, some) }
	if d.enqueue == nil {
		return next(messages)
	}
	return d.enqueue(messages, next)
}

// Consume opens a flawed consumer.
func (d *flawed) Consume(ctx context.Context, queue string, o driver.ConsumeOptions) (driver.Consumer, error) {
	c, err := d.Driver.Consume(ctx, queue, o)
	if err != nil {
		return nil, err
	}
	return &flawedConsumer{c, d}, nil
}

// timesAbandoned is how often a job was abandoned.
func (d *flawed) timesAbandoned(id string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.abandoned[id]
}

// flawedConsumer is a consumer of a flawed handle.
type flawedConsumer struct {
	driver.Consumer
	d *flawed
}

// Settle is what settle makes of it.
func (c *flawedConsumer) Settle(ctx context.Context, settlements []driver.Settlement) []error {
	next := func(some []driver.Settlement) []error { return c.Consumer.Settle(ctx, some) }
	if c.d.settle == nil {
		return next(settlements)
	}
	return c.d.settle(ctx, settlements, next)
}

// Extend is what extend makes of it.
func (c *flawedConsumer) Extend(ctx context.Context, deliveries []*driver.Delivery) []error {
	next := func(some []*driver.Delivery) []error { return c.Consumer.Extend(ctx, some) }
	if c.d.extend == nil {
		return next(deliveries)
	}
	return c.d.extend(deliveries, next)
}

// Receive is what receive makes of it.
func (c *flawedConsumer) Receive(ctx context.Context, most int) ([]*driver.Delivery, error) {
	next := func() ([]*driver.Delivery, error) { return c.Consumer.Receive(ctx, most) }
	if c.d.receive == nil {
		return next()
	}
	return c.d.receive(next)
}

// Stop says that it begins.
func (c *flawedConsumer) Stop(ctx context.Context) error {
	if c.d.stopped != nil {
		c.d.stopped()
	}
	return c.Consumer.Stop(ctx)
}

// Abandon counts what is abandoned.
func (c *flawedConsumer) Abandon(ctx context.Context, deliveries []*driver.Delivery) {
	c.d.mu.Lock()
	if c.d.abandoned == nil {
		c.d.abandoned = make(map[string]int)
	}
	for _, d := range deliveries {
		c.d.abandoned[d.ID]++
	}
	c.d.mu.Unlock()
	c.Consumer.Abandon(ctx, deliveries)
}

// negative is an answer of a broker that refuses.
func negative(kind error, fate driver.Fate) error {
	return &driver.Error{Driver: "flawed", Op: "call", Kind: kind, Fate: fate, Err: errors.New("for the case")}
}

// except makes a call for those that are not refused, and returns the errors of all at
// their places.
func except[T any](all []T, refuse func(T) error, next func([]T) []error) []error {
	errs := make([]error, len(all))
	var rest []T
	var places []int
	for i, one := range all {
		if errs[i] = refuse(one); errs[i] == nil {
			rest = append(rest, one)
			places = append(places, i)
		}
	}
	if len(rest) == 0 {
		return errs
	}
	for k, err := range next(rest) {
		errs[places[k]] = err
	}
	return errs
}

// storeExcept is except for messages.
func storeExcept(all []*driver.Message, refuse func(*driver.Message) error, next func([]*driver.Message) []driver.Result) []driver.Result {
	errs := except(all, refuse, func(rest []*driver.Message) []error {
		errs := make([]error, len(rest))
		for i, r := range next(rest) {
			errs[i] = r.Err
		}
		return errs
	})
	results := make([]driver.Result, len(all))
	for i, err := range errs {
		results[i].Err = err
	}
	return results
}

// forgetful is a handle whose consumers extend nothing for a while, and then find out.
type forgetful struct {
	driver.Driver
	forget atomic.Bool
}

// Consume opens such a consumer.
func (d *forgetful) Consume(ctx context.Context, queue string, o driver.ConsumeOptions) (driver.Consumer, error) {
	c, err := d.Driver.Consume(ctx, queue, o)
	return &forgetfulConsumer{c, d}, err
}

// forgetfulConsumer is a consumer of such a handle.
type forgetfulConsumer struct {
	driver.Consumer
	of *forgetful
}

// Extend says that all is well while it forgets.
func (c *forgetfulConsumer) Extend(ctx context.Context, deliveries []*driver.Delivery) []error {
	if c.of.forget.Load() {
		return nil
	}
	return c.Consumer.Extend(ctx, deliveries)
}

// slowBroker is a handle whose Enqueue waits: the first call for one gate, the later ones for
// another. All jobs are stored, also those whose callers did not wait.
type slowBroker struct {
	driver.Driver
	first, later *gate
	begun        chan struct{} // a call has begun
	asked        chan struct{} // a caller has begun to enqueue

	mu    sync.Mutex // guards following
	calls int
	sent  map[string]int
}

// slowly makes a slow broker.
func (s *stage) slowly() *slowBroker {
	return &slowBroker{Driver: s.declared(), first: s.gate(), later: s.gate(), begun: make(chan struct{}, 100), asked: make(chan struct{}, 100), sent: make(map[string]int)}
}

// Enqueue waits, and stores.
func (b *slowBroker) Enqueue(ctx context.Context, queue string, all []*driver.Message) []driver.Result {
	b.mu.Lock()
	b.calls++
	gate := b.later
	if b.calls == 1 {
		gate = b.first
	}
	for _, m := range all {
		b.sent[m.ID]++
	}
	b.mu.Unlock()
	b.begun <- struct{}{}
	gaveUp := gate.wait(ctx)
	results := b.Driver.Enqueue(context.WithoutCancel(ctx), queue, all)
	if gaveUp == nil {
		return results
	}
	results = make([]driver.Result, len(all))
	for i := range results {
		results[i].Err = negative(gaveUp, driver.FateUnknown)
	}
	return results
}

// Info has one publisher, so that jobs wait behind each other.
func (b *slowBroker) Info() driver.Info {
	info := b.Driver.Info()
	info.Limits.Publishers = 1
	return info
}

// OnEnqueueStart tells that a caller has begun to enqueue.
func (b *slowBroker) OnEnqueueStart(ctx context.Context, _ *batch.EnqueueStart) context.Context {
	b.asked <- struct{}{}
	return ctx
}

// times is how often a job was sent.
func (b *slowBroker) times(id string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sent[id]
}
