package sqs

import (
	"context"
	"errors"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/batch-go/batch/driver"
)

// Extend renews leases, see driver.Consumer.
func (c *consumer) Extend(ctx context.Context, deliveries []*driver.Delivery) []error {
	if len(deliveries) == 0 {
		return nil
	}
	const op = "extend"
	ctx, leave, err := c.enter(ctx, op)
	if err != nil {
		return all(len(deliveries), err)
	}
	defer leave()
	t := tally{c: c, op: op, errs: make([]error, len(deliveries))}
	for i, d := range deliveries {
		t.add(i, d)
	}
	// Counted from before the request: SQS may begin the lease at any time since.
	until := int64(sinceEpoch() + c.lease)
	for i, err := range c.b.hide(ctx, t.receipts, c.visibility) {
		t.fail(i, err)
	}
	for i, r := range t.receipts {
		if t.errs[t.index[i]] == nil {
			r.until.Store(until)
		}
	}
	return t.result()
}

// Settle ends deliveries, see driver.Consumer. A retry or a dead letter is a new
// message: the attributes of a message cannot be changed. It is stored before the
// old one is deleted.
func (c *consumer) Settle(ctx context.Context, settlements []driver.Settlement) []error {
	if len(settlements) == 0 {
		return nil
	}
	const op = "settle"
	ctx, leave, err := c.enter(ctx, op)
	if err != nil {
		return all(len(settlements), err)
	}
	defer leave()
	q, err := c.b.resolve(ctx, c.queue)
	if err != nil {
		return all(len(settlements), c.failure(op, err))
	}
	release := tally{c: c, op: op, errs: make([]error, len(settlements))}
	remove := tally{c: c, op: op, errs: release.errs}
	var moves [3]move
	for i := range settlements {
		s := &settlements[i]
		switch s.Outcome {
		case driver.Release:
			release.add(i, s.Delivery)
			continue
		case driver.Retry, driver.Dead:
			r, ok := s.Delivery.Receipt.(*receipt)
			if ok && r.held() && !r.stored.Load() {
				m := &moves[c.destination(s)]
				m.parcels = append(m.parcels, c.successor(s, r))
				m.receipts = append(m.receipts, r)
				m.index = append(m.index, i)
				continue
			}
		}
		remove.add(i, s.Delivery)
	}
	for i, url := range [...]string{toWork: q.work, toRetry: q.retry, toDead: q.dead} {
		m := &moves[i]
		if len(m.parcels) == 0 {
			continue
		}
		errs := c.b.send(ctx, url, i == toWork && c.b.config.fifo, m.parcels)
		for k, r := range m.receipts {
			if errs != nil && errs[k] != nil {
				remove.errs[m.index[k]] = c.failureOf(ctx, op, r, errs[k])
				continue
			}
			r.stored.Store(true)
			remove.receipts = append(remove.receipts, r)
			remove.index = append(remove.index, m.index[k])
		}
	}
	for i, err := range c.b.remove(ctx, remove.receipts) {
		remove.fail(i, err)
	}
	for i, err := range c.b.hide(ctx, release.receipts, 0) {
		release.fail(i, err)
	}
	remove.settled()
	release.settled()
	return release.result()
}

// Where a successor goes.
const (
	toWork = iota
	toRetry
	toDead
)

// move are messages that take the place of deliveries.
type move struct {
	parcels  []*parcel
	receipts []*receipt
	index    []int
}

func (c *consumer) destination(s *driver.Settlement) int {
	switch {
	case s.Outcome == driver.Dead:
		return toDead
	case s.Delay > 0:
		return toRetry
	}
	return toWork
}

// successor is the message that takes a delivery's place.
func (c *consumer) successor(s *driver.Settlement, r *receipt) *parcel {
	d := r.meta
	d.Failures, d.Error, d.Deliveries = s.Failures, s.Error, s.Delivery.Deliveries
	d.Delay, d.Due, d.Reason = 0, 0, ""
	p := &parcel{body: r.body}
	if s.Outcome == driver.Dead {
		d.Reason = s.Reason
	} else {
		p.hold = d.delayed(s.Delay)
		// A try after one of unknown fate stores nothing twice on a FIFO queue.
		p.token = r.id + "." + strconv.Itoa(r.received)
	}
	p.meta = d.text()
	return p
}

// failureOf is failure for a message that was not stored. If the queue that it
// was for does not exist, that may be a companion alone, which somebody deleted:
// then the delivery is still held, and the error says what is missing.
func (c *consumer) failureOf(ctx context.Context, op string, r *receipt, err error) error {
	if errors.Is(classify(err).kind, driver.ErrNotFound) {
		if _, again := c.b.attributes(ctx, r.url, types.QueueAttributeNameMaximumMessageSize); again == nil {
			missing := fail(op, c.queue, err).(*driver.Error)
			missing.Kind, missing.Hint = driver.ErrUnavailable, "the queue for dead letters or retries is missing: declare the queue again"
			return missing
		}
	}
	return c.failure(op, err)
}

// enter is base.enter for a consumer that may be closed by itself.
func (c *consumer) enter(ctx context.Context, op string) (context.Context, func(), error) {
	select {
	case <-c.done:
		return nil, nil, closed(op, c.queue)
	default:
	}
	return c.b.enter(ctx, op, c.queue)
}

// failure is the error of one delivery. Where its queue was deleted, the delivery
// is lost with it.
func (c *consumer) failure(op string, err error) error {
	failed := fail(op, c.queue, err)
	if errors.Is(failed, driver.ErrNotFound) {
		c.b.forget(c.queue, failed)
		return c.lost(op)
	}
	return failed
}

// tally are the deliveries of a call that go into one kind of request.
type tally struct {
	c        *consumer
	op       string
	errs     []error // of all deliveries of the call
	receipts []*receipt
	index    []int // which delivery of the call each is
}

// add takes a delivery in, if it is held.
func (t *tally) add(i int, d *driver.Delivery) {
	r, ok := d.Receipt.(*receipt)
	if !ok || !r.held() {
		t.errs[i] = t.c.lost(t.op)
		return
	}
	t.receipts = append(t.receipts, r)
	t.index = append(t.index, i)
}

func (t *tally) fail(i int, err error) {
	if err != nil {
		t.errs[t.index[i]] = t.c.failure(t.op, err)
	}
}

// settled notes which deliveries are.
func (t *tally) settled() {
	for i, r := range t.receipts {
		if t.errs[t.index[i]] == nil {
			r.settled.Store(true)
		}
	}
}

// result is nil if there is no error.
func (t *tally) result() []error {
	for _, err := range t.errs {
		if err != nil {
			return t.errs
		}
	}
	return nil
}
