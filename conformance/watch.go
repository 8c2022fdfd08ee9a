package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/batch-go/batch/driver"
)

// watch looks after the calls that a case makes: it says which one does not come back, with its stack, long before the
// time of the case is over, and which one returns what no call may.
type watch struct {
	// most is how long a call may take, and how long one may go on after its context has ended.
	most time.Duration
	// hung is told of a call that takes longer, and odd of a result that no call may have. They are called from any
	// goroutine.
	hung, odd func(format string, args ...any)
}

// call begins a call. What it returns ends it.
func (w *watch) call(ctx context.Context, method string) (end func()) {
	return w.callFor(ctx, method, w.most)
}

// callFor is call for one that may take long; zero stands for as long as its context.
func (w *watch) callFor(ctx context.Context, method string, most time.Duration) (end func()) {
	if deadline, ok := ctx.Deadline(); ok && (most == 0 || time.Until(deadline)+w.most < most) {
		most = max(time.Until(deadline), 0) + w.most
	}
	if most == 0 {
		return func() {}
	}
	caller := goroutine()
	timer := time.AfterFunc(most, func() {
		w.hung("%s has not returned for %s, which hangs:\n%s", method, most.Round(time.Millisecond), stackOf(caller))
	})
	return func() { timer.Stop() }
}

// goroutine is how the stack of this goroutine begins.
func goroutine() string {
	buf := make([]byte, 64)
	buf = buf[:runtime.Stack(buf, false)]
	if i := bytes.IndexByte(buf, '['); i > 0 {
		buf = buf[:i]
	}
	return string(buf)
}

// stackOf is the stack of a goroutine that goroutine has named.
func stackOf(caller string) string {
	buf := make([]byte, 1<<20)
	for _, stack := range bytes.Split(buf[:runtime.Stack(buf, true)], []byte("\n\n")) {
		if bytes.HasPrefix(stack, []byte(caller)) {
			return string(stack)
		}
	}
	return "(its goroutine has ended)"
}

// watched is a handle whose calls are looked after. It has no capability: bare gives the driver back.
type watched struct {
	driver.Driver
	w *watch
}

// bare is the driver that a handle of a stage stands for, with its capabilities.
func bare(d driver.Driver) driver.Driver {
	if w, ok := d.(*watched); ok {
		return w.Driver
	}
	return d
}

// Declare and the methods below pass the call on.
func (d *watched) Declare(ctx context.Context, queue string) error {
	defer d.w.call(ctx, "Declare")()
	return d.Driver.Declare(ctx, queue)
}

// DeleteQueue passes the call on.
func (d *watched) DeleteQueue(ctx context.Context, queue string) error {
	defer d.w.call(ctx, "DeleteQueue")()
	return d.Driver.DeleteQueue(ctx, queue)
}

// Enqueue passes the call on, and looks at the results.
func (d *watched) Enqueue(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	defer d.w.call(ctx, "Enqueue")()
	before := make([]driver.Message, len(messages))
	for i, m := range messages {
		before[i] = *m
	}
	results := d.Driver.Enqueue(ctx, queue, messages)
	if results != nil && len(results) != len(messages) {
		d.w.odd("Enqueue of %d messages returned %d results", len(messages), len(results))
	}
	for i, m := range messages {
		if !unchanged(&before[i], m) {
			d.w.odd("Enqueue changed the message %s, which belongs to the caller", before[i].ID)
		}
	}
	for i, r := range results {
		if r.Err != nil && r.Duplicate {
			d.w.odd("Enqueue says of message %d that it is a duplicate and that it failed: %v", i, r.Err)
		}
	}
	return results
}

// unchanged tells whether a message is as it was, as far as can be seen without reading it.
func unchanged(before, after *driver.Message) bool {
	same := func(a, b []byte) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }
	return same(before.Body, after.Body) && len(before.Headers) == len(after.Headers) &&
		before.ID == after.ID && before.Kind == after.Kind && before.ContentType == after.ContentType &&
		before.EnqueuedAt.Equal(after.EnqueuedAt) && before.ExpiresAt.Equal(after.ExpiresAt) &&
		before.MaxAttempts == after.MaxAttempts && before.Timeout == after.Timeout && before.Level == after.Level &&
		before.Delay == after.Delay && before.DedupKey == after.DedupKey && before.DedupWithin == after.DedupWithin &&
		before.Group == after.Group
}

// Consume passes the call on, and looks after the consumer's calls.
func (d *watched) Consume(ctx context.Context, queue string, o driver.ConsumeOptions) (driver.Consumer, error) {
	defer d.w.call(ctx, "Consume")()
	c, err := d.Driver.Consume(ctx, queue, o)
	if err == nil && c == nil {
		err = errors.New("Consume returned neither a consumer nor an error")
		d.w.odd("%v", err)
	}
	if err != nil {
		return nil, err
	}
	return &watchedConsumer{c, d.w}, nil
}

// Depth passes the call on.
func (d *watched) Depth(ctx context.Context, queue string) (driver.Depth, error) {
	defer d.w.call(ctx, "Depth")()
	return d.Driver.Depth(ctx, queue)
}

// DeadLetters passes the call on, and looks at the page.
func (d *watched) DeadLetters(ctx context.Context, queue, cursor string, most int) ([]driver.DeadLetter, string, error) {
	defer d.w.call(ctx, "DeadLetters")()
	page, next, err := d.Driver.DeadLetters(ctx, queue, cursor, most)
	if len(page) > most {
		d.w.odd("a page of at most %d dead letters has %d", most, len(page))
	}
	return page, next, err
}

// Redrive passes the call on.
func (d *watched) Redrive(ctx context.Context, queue string, which driver.Selection) (int, error) {
	defer d.w.call(ctx, "Redrive")()
	return d.Driver.Redrive(ctx, queue, which)
}

// Discard passes the call on.
func (d *watched) Discard(ctx context.Context, queue string, which driver.Selection) (int, error) {
	defer d.w.call(ctx, "Discard")()
	return d.Driver.Discard(ctx, queue, which)
}

// Close passes the call on. It may wait for calls under way.
func (d *watched) Close(ctx context.Context) error {
	defer d.w.callFor(ctx, "Close of a driver", 2*d.w.most)()
	return d.Driver.Close(ctx)
}

// watchedConsumer is a consumer of such a handle.
type watchedConsumer struct {
	driver.Consumer
	w *watch
}

// Receive passes the call on, and looks at what it returns. It may wait for as long as its context.
func (c *watchedConsumer) Receive(ctx context.Context, most int) ([]*driver.Delivery, error) {
	defer c.w.callFor(ctx, "Receive", 0)()
	all, err := c.Consumer.Receive(ctx, most)
	switch {
	case len(all) > max(most, 0):
		c.w.odd("Receive of at most %d jobs returned %d", most, len(all))
	case err == nil && len(all) == 0:
		c.w.odd("Receive returned no job and no error")
		err = errNoJob
	}
	for _, d := range all {
		if fault := impossible(d); fault != "" {
			c.w.odd("Receive returned the job %s with %s", d.ID, fault)
		}
	}
	return all, err
}

// errNoJob stands for the error of a Receive that returned nothing at all, so that the case
// need not look for that.
var errNoJob = errors.New("Receive returned no job and no error")

// single is the result of a Receive of one job.
func single(got []*driver.Delivery, err error) (*driver.Delivery, error) {
	switch {
	case err != nil:
		return nil, err
	case len(got) == 0:
		return nil, errNoJob
	}
	return got[0], nil
}

// impossible says what no delivery may have, or nothing.
func impossible(d *driver.Delivery) string {
	switch {
	case d.Deliveries < 1:
		return fmt.Sprintf("Deliveries %d", d.Deliveries)
	case d.Failures < 0 || d.Bounces < 0 || d.Redeliveries < 0:
		return fmt.Sprintf("Failures %d, Bounces %d, Redeliveries %d", d.Failures, d.Bounces, d.Redeliveries)
	case d.Delay != 0 || d.DedupWithin != 0:
		return fmt.Sprintf("Delay %s, DedupWithin %s, which are part of Enqueue only", d.Delay, d.DedupWithin)
	}
	return ""
}

// Settle passes the call on, and looks at the errors.
func (c *watchedConsumer) Settle(ctx context.Context, settlements []driver.Settlement) []error {
	defer c.w.call(ctx, "Settle")()
	errs := c.Consumer.Settle(ctx, settlements)
	if errs != nil && len(errs) != len(settlements) {
		c.w.odd("Settle of %d returned %d errors", len(settlements), len(errs))
	}
	return errs
}

// Extend passes the call on, and looks at the errors.
func (c *watchedConsumer) Extend(ctx context.Context, deliveries []*driver.Delivery) []error {
	defer c.w.call(ctx, "Extend")()
	errs := c.Consumer.Extend(ctx, deliveries)
	if errs != nil && len(errs) != len(deliveries) {
		c.w.odd("Extend of %d returned %d errors", len(deliveries), len(errs))
	}
	return errs
}

// Abandon passes the call on.
func (c *watchedConsumer) Abandon(ctx context.Context, deliveries []*driver.Delivery) {
	defer c.w.call(ctx, "Abandon")()
	c.Consumer.Abandon(ctx, deliveries)
}

// Stop passes the call on.
func (c *watchedConsumer) Stop(ctx context.Context) error {
	defer c.w.call(ctx, "Stop")()
	return c.Consumer.Stop(ctx)
}

// Close passes the call on.
func (c *watchedConsumer) Close(ctx context.Context) error {
	defer c.w.callFor(ctx, "Close of a consumer", 2*c.w.most)()
	return c.Consumer.Close(ctx)
}
