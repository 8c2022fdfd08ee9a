package sqs

import (
	"context"
	"errors"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

const opSettle = "settle"

// Settle ends deliveries. A retry or a dead letter is a new message, as the
// attributes of a message cannot be changed, and is stored before the old one is
// deleted. A release ends the visibility timeout.
func (c *consumer) Settle(ctx context.Context, settlements []driver.Settlement) []error {
	if len(settlements) == 0 {
		return nil
	}
	ctx, end, err := c.begin(ctx, opSettle)
	if err != nil {
		return fault.All(len(settlements), err)
	}
	defer end()
	q, err := c.base.resolve(ctx, c.queue)
	if err != nil {
		return fault.All(len(settlements), c.deliveryError(opSettle, err))
	}
	var errs []error
	failed := func(i int, err error) { errs = fault.Set(errs, len(settlements), i, err) }

	var replaced [destinations]batch[replacement]
	var ended, released batch[*receipt]
	for i := range settlements {
		s := &settlements[i]
		r := heldReceipt(s.Delivery)
		switch {
		case r == nil:
			failed(i, faults.LeaseLost(opSettle, c.queue))
		case s.Outcome == driver.OutcomeRelease:
			released.add(i, r)
		case (s.Outcome == driver.OutcomeRetry || s.Outcome == driver.OutcomeDead) && !r.stored.Load():
			replaced[destinationOf(s)].add(i, replacement{old: r, entry: settledEntry(s, r)})
		default:
			ended.add(i, r)
		}
	}
	for to, url := range [destinations]string{toWork: q.work, toRetry: q.retry, toDead: q.dead} {
		c.store(ctx, url, &replaced[to], &ended, failed)
	}
	deliveryFailed := func(i int, err error) { failed(i, c.deliveryError(opSettle, err)) }
	ended.report(c.base.client.delete(ctx, ended.items), deliveryFailed)
	released.report(c.base.client.changeVisibility(ctx, released.items, 0), deliveryFailed)
	for _, b := range []batch[*receipt]{ended, released} {
		for k, r := range b.items {
			if errs == nil || errs[b.index[k]] == nil {
				r.settled.Store(true)
			}
		}
	}
	return errs
}

// Where the message that takes a delivery's place goes.
const (
	toWork = iota
	toRetry
	toDead
	destinations
)

// destinationOf is where the message goes that takes the delivery's place.
func destinationOf(s *driver.Settlement) int {
	switch {
	case s.Outcome == driver.OutcomeDead:
		return toDead
	case s.Delay > 0:
		return toRetry
	}
	return toWork
}

// settledEntry is the message that takes the delivery's place.
func settledEntry(s *driver.Settlement, r *receipt) *entry {
	d := r.meta
	d.Failures, d.Error, d.Deliveries = s.Failures, s.Error, s.Delivery.Deliveries
	d.Delay, d.Due, d.Reason = 0, 0, ""
	e := &entry{body: r.body}
	if s.Outcome == driver.OutcomeDead {
		d.Reason = s.Reason
	} else {
		e.delaySeconds = d.setDelay(s.Delay)
		// A try after one of unknown fate stores nothing twice on a FIFO queue.
		e.token = r.id + "." + strconv.Itoa(r.received)
	}
	e.attribute = d.text()
	return e
}

// store stores new messages in the SQS queue at url, and adds the old one of each
// that was stored to those that are ended.
func (c *consumer) store(ctx context.Context, url string, replaced *batch[replacement], ended *batch[*receipt], failed func(i int, err error)) {
	errs := c.base.client.send(ctx, url, entriesOf(replaced.items))
	for k, r := range replaced.items {
		i := replaced.index[k]
		if errs != nil && errs[k] != nil {
			failed(i, c.storeError(ctx, r.old, errs[k]))
			continue
		}
		r.old.stored.Store(true)
		ended.add(i, r.old)
	}
}

// storeError is deliveryError for a message that was not stored. If the queue that
// it was for does not exist, that may be a companion alone, which somebody
// deleted: then the delivery is still held, and the error says what is missing.
func (c *consumer) storeError(ctx context.Context, old *receipt, err error) error {
	if errors.Is(classify(err).Kind, driver.ErrNotFound) {
		_, gone := c.base.client.attributes(ctx, old.url, types.QueueAttributeNameMaximumMessageSize)
		if gone == nil {
			return faults.Refuse(opSettle, c.queue, driver.ErrUnavailable, err, "the queue for dead letters or retries is missing: declare the queue again")
		}
	}
	return c.deliveryError(opSettle, err)
}
