package movers

import (
	"context"
	"sync/atomic"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// source is a broker that a mover takes jobs from. It reports how many the mover gets and gives up, so that one
// can be killed at work.
type source struct {
	batch.Driver
	report func(n int)
	dead   *atomic.Bool
}

// wholeSource is one that can be looked into.
type wholeSource struct {
	*source
	driver.Inspector
	driver.Pauser
	driver.OnceImporter
}

// watch makes a source of a broker: it reports as long as it is not dead. From then on nothing that the mover does
// with jobs reaches the broker, as if its process had been killed.
func watch(d batch.Driver, report func(n int), dead *atomic.Bool) batch.Driver {
	s := &source{d, report, dead}
	if whole, ok := d.(interface {
		driver.Inspector
		driver.Pauser
		driver.OnceImporter
	}); ok {
		return wholeSource{s, whole, whole, whole}
	}
	return s
}

// Consume implements driver.Driver.
func (s *source) Consume(ctx context.Context, queue string, o driver.ConsumeOptions) (driver.Consumer, error) {
	c, err := s.Driver.Consume(ctx, queue, o)
	if err != nil {
		return nil, err
	}
	return &sourceConsumer{c, s}, nil
}

// sourceConsumer is a consumer of one.
type sourceConsumer struct {
	driver.Consumer
	source *source
}

// gone is the error of what a dead mover would have done.
func (c *sourceConsumer) gone() error {
	if !c.source.dead.Load() {
		return nil
	}
	return &driver.Error{Driver: "source", Op: "call", Kind: driver.ErrClosed, Fate: driver.FateNotStored}
}

// goneAll is that for each of n.
func (c *sourceConsumer) goneAll(n int) []error {
	err := c.gone()
	if err == nil {
		return nil
	}
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// Receive implements driver.Consumer.
func (c *sourceConsumer) Receive(ctx context.Context, most int) ([]*driver.Delivery, error) {
	if err := c.gone(); err != nil {
		return nil, err
	}
	got, err := c.Consumer.Receive(ctx, most)
	if len(got) > 0 {
		c.source.report(len(got))
	}
	return got, err
}

// Settle implements driver.Consumer.
func (c *sourceConsumer) Settle(ctx context.Context, settlements []driver.Settlement) []error {
	if errs := c.goneAll(len(settlements)); errs != nil {
		return errs
	}
	errs := c.Consumer.Settle(ctx, settlements)
	settled := len(settlements)
	for _, err := range errs {
		if err != nil {
			settled--
		}
	}
	c.source.report(-settled)
	return errs
}

// Extend implements driver.Consumer.
func (c *sourceConsumer) Extend(ctx context.Context, deliveries []*driver.Delivery) []error {
	if errs := c.goneAll(len(deliveries)); errs != nil {
		return errs
	}
	return c.Consumer.Extend(ctx, deliveries)
}

// Abandon implements driver.Consumer.
func (c *sourceConsumer) Abandon(ctx context.Context, deliveries []*driver.Delivery) {
	if c.gone() == nil {
		c.source.report(-len(deliveries))
		c.Consumer.Abandon(ctx, deliveries)
	}
}

// Stop implements driver.Consumer.
func (c *sourceConsumer) Stop(ctx context.Context) error {
	if c.gone() != nil {
		return nil
	}
	return c.Consumer.Stop(ctx)
}
