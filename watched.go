package batch

import (
	"context"
	"errors"
	"log/slog"

	"github.com/batch-go/batch/driver"
)

// watch returns a driver whose calls h is told. It is d itself if h has no hook for
// that. What it returns has no optional interface.
func watch(d driver.Driver, h *hooks) driver.Driver {
	if len(h.call) == 0 {
		return d
	}
	return &watchedDriver{d, h}
}

// watchWith makes h of a list of hooks and, after them, a log, and returns the driver that
// tells them.
func watchWith(d driver.Driver, h *hooks, list []Hook, log *slog.Logger) (driver.Driver, error) {
	*h = hooks{}
	if err := h.append(list...); err != nil {
		return nil, err
	}
	d = watch(d, h)
	return d, h.addLog(log, d)
}

// unwatched is what watch was given.
func unwatched(d driver.Driver) driver.Driver {
	if watched, ok := d.(*watchedDriver); ok {
		return watched.Driver
	}
	return d
}

// watchedDriver tells the hooks of each call that the core makes.
type watchedDriver struct {
	driver.Driver
	hooks *hooks
}

// Declare and the methods below pass the call on, and then tell the hooks.
func (d *watchedDriver) Declare(ctx context.Context, queue string) error {
	start := d.hooks.now()
	err := d.Driver.Declare(ctx, queue)
	d.hooks.onCall(ctx, OpDeclare, queue, 0, start, err)
	return err
}

func (d *watchedDriver) DeleteQueue(ctx context.Context, queue string) error {
	start := d.hooks.now()
	err := d.Driver.DeleteQueue(ctx, queue)
	d.hooks.onCall(ctx, OpDeleteQueue, queue, 0, start, err)
	return err
}

func (d *watchedDriver) Enqueue(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	start := d.hooks.now()
	results := d.Driver.Enqueue(ctx, queue, messages)
	onJobsCall(ctx, d.hooks, OpEnqueue, queue, messages, ofMessage, start, firstFailure(results))
	return results
}

func (d *watchedDriver) Consume(ctx context.Context, queue string, o driver.ConsumeOptions) (driver.Consumer, error) {
	start := d.hooks.now()
	c, err := d.Driver.Consume(ctx, queue, o)
	d.hooks.onCall(ctx, OpConsume, queue, 0, start, err)
	if err != nil {
		return nil, err
	}
	return &watchedConsumer{c, d.hooks, queue}, nil
}

func (d *watchedDriver) Depth(ctx context.Context, queue string) (driver.Depth, error) {
	start := d.hooks.now()
	depth, err := d.Driver.Depth(ctx, queue)
	d.hooks.onCall(ctx, OpDepth, queue, 0, start, err)
	return depth, err
}

func (d *watchedDriver) DeadLetters(ctx context.Context, queue, cursor string, max int) ([]driver.DeadLetter, string, error) {
	start := d.hooks.now()
	page, next, err := d.Driver.DeadLetters(ctx, queue, cursor, max)
	d.hooks.onCall(ctx, OpDeadLetters, queue, len(page), start, err)
	return page, next, err
}

func (d *watchedDriver) Redrive(ctx context.Context, queue string, which driver.Selection) (int, error) {
	start := d.hooks.now()
	n, err := d.Driver.Redrive(ctx, queue, which)
	d.hooks.onCall(ctx, OpRedrive, queue, n, start, err)
	return n, err
}

func (d *watchedDriver) Discard(ctx context.Context, queue string, which driver.Selection) (int, error) {
	start := d.hooks.now()
	n, err := d.Driver.Discard(ctx, queue, which)
	d.hooks.onCall(ctx, OpDiscard, queue, n, start, err)
	return n, err
}

// watchedConsumer is the consumer of a watchedDriver.
type watchedConsumer struct {
	driver.Consumer
	hooks *hooks
	queue string
}

// Receive and the methods below pass the call on, and then tell the hooks. That a Receive found
// nothing in a brief time is no error to them.
func (c *watchedConsumer) Receive(ctx context.Context, max int) ([]*driver.Delivery, error) {
	start := c.hooks.now()
	deliveries, err := c.Consumer.Receive(ctx, max)
	told := err
	if foundNothing(ctx, err) {
		told = nil
	}
	onJobsCall(ctx, c.hooks, OpReceive, c.queue, deliveries, ofDelivery, start, told)
	return deliveries, err
}

func (c *watchedConsumer) Settle(ctx context.Context, settlements []driver.Settlement) []error {
	start := c.hooks.now()
	errs := c.Consumer.Settle(ctx, settlements)
	onJobsCall(ctx, c.hooks, OpSettle, c.queue, settlements, ofSettlement, start, firstError(errs))
	return errs
}

func (c *watchedConsumer) Extend(ctx context.Context, deliveries []*driver.Delivery) []error {
	start := c.hooks.now()
	errs := c.Consumer.Extend(ctx, deliveries)
	onJobsCall(ctx, c.hooks, OpExtend, c.queue, deliveries, ofDelivery, start, firstError(errs))
	return errs
}

func (c *watchedConsumer) Abandon(ctx context.Context, deliveries []*driver.Delivery) {
	start := c.hooks.now()
	c.Consumer.Abandon(ctx, deliveries)
	onJobsCall(ctx, c.hooks, OpAbandon, c.queue, deliveries, ofDelivery, start, nil)
}

func (c *watchedConsumer) Stop(ctx context.Context) error {
	start := c.hooks.now()
	err := c.Consumer.Stop(ctx)
	c.hooks.onCall(ctx, OpStop, c.queue, 0, start, err)
	return err
}

func (c *watchedConsumer) Close(ctx context.Context) error {
	start := c.hooks.now()
	err := c.Consumer.Close(ctx)
	c.hooks.onCall(ctx, OpClose, c.queue, 0, start, err)
	return err
}

// firstFailure is the first error of results, or nil. It is no failure that a job has to
// wait for a transaction.
func firstFailure(results []driver.Result) error {
	for _, r := range results {
		if r.Err != nil && !errors.Is(r.Err, ErrKeyHeld) {
			return r.Err
		}
	}
	return nil
}

// firstError is the first error of a list, or nil.
func firstError(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
