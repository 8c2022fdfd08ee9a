package sqs

import (
	"context"
	"errors"
	"strconv"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

const opSettle = "settle"

// Settle ends deliveries. All but one that is done get a new message, as the
// attributes of a message cannot be changed: it is stored before the old one is
// deleted. That holds for a release too: if it ended the visibility timeout, SQS
// would count it as it counts a holder that vanished.
func (c *consumer) Settle(ctx context.Context, settlements []driver.Settlement) []error {
	if len(settlements) == 0 {
		return nil
	}
	ctx, end, err := c.begin(ctx, opSettle)
	if err != nil {
		return fault.All(len(settlements), err)
	}
	defer end()
	var errs []error
	failed := func(i int, err error) { errs = fault.Set(errs, len(settlements), i, err) }

	goneAt := c.base.goneAt(c.queue)
	var replaced batch[replacement]
	var ended batch[*receipt]
	for i := range settlements {
		s := &settlements[i]
		r := heldReceipt(s.Delivery, goneAt)
		switch {
		case r == nil:
			failed(i, faults.LeaseLost(opSettle, c.queue))
		case s.Outcome != driver.OutcomeDone && !r.stored.Load():
			replaced.add(i, replacement{old: r, entry: c.settledEntry(s, r)})
		default:
			ended.add(i, r)
		}
	}
	c.store(ctx, &replaced, &ended, failed)
	ended.report(c.base.client.delete(ctx, ended.items), func(i int, err error) { failed(i, c.deliveryError(opSettle, err)) })
	for k, r := range ended.items {
		if errs == nil || errs[ended.index[k]] == nil {
			r.settled.Store(true)
		}
	}
	return errs
}

// settledEntry is the message that takes the delivery's place.
func (c *consumer) settledEntry(s *driver.Settlement, r *receipt) *entry {
	d := r.meta
	d.Delay, d.Due = 0, 0
	e := &entry{body: r.body, to: toDead}
	switch s.Outcome {
	case driver.OutcomeRelease:
		e.to = toWork
		d.Deliveries, d.Lost = r.deliveries(), r.lost()
	default:
		d.history = history{
			Failures: s.Failures, Error: s.Error,
			Bounces: s.Bounces, Bounced: millisOf(s.BouncedSince), Deliveries: r.deliveries(),
		}
		if s.Outcome == driver.OutcomeDead {
			d.Reason = s.Reason
			break
		}
		e.to = c.base.destination(s.Delay)
		e.delaySeconds = d.setDelay(s.Delay)
	}
	if e.to == toWork {
		// A try after one of unknown fate stores nothing twice on a FIFO queue.
		e.token = r.id + "." + strconv.Itoa(r.received)
	}
	e.attribute = d.text()
	return e
}

// store stores new messages, and adds the old one of each that was stored to those
// that are ended.
func (c *consumer) store(ctx context.Context, replaced *batch[replacement], ended *batch[*receipt], failed func(i int, err error)) {
	if len(replaced.items) == 0 {
		return
	}
	q, err := c.base.resolve(ctx, c.queue)
	var errs []error
	if err != nil {
		errs = fault.All(len(replaced.items), fault.NotSent{Err: err})
	} else {
		errs = c.base.client.send(ctx, q, entriesOf(replaced.items))
	}
	exists := make(map[string]bool) // what the errors ask of each SQS queue
	for k, r := range replaced.items {
		i := replaced.index[k]
		if errs != nil && errs[k] != nil {
			failed(i, c.storeError(ctx, r.old, errs[k], exists))
			continue
		}
		r.old.stored.Store(true)
		ended.add(i, r.old)
	}
}

// storeError is deliveryError for a message that was not stored. If the queue that
// it was for does not exist, that may be a companion alone, which somebody
// deleted: then the delivery is still held, and the error says what is missing.
// exists has the answers of SQS so far, by URL.
func (c *consumer) storeError(ctx context.Context, old *receipt, err error, exists map[string]bool) error {
	if errors.Is(classify(err).Kind, driver.ErrNotFound) {
		held, asked := exists[old.url]
		if !asked {
			held = c.base.client.exists(ctx, old.url) == nil
			exists[old.url] = held
		}
		if held {
			return faults.Refuse(opSettle, c.queue, driver.ErrUnavailable, err, "the queue for dead letters or retries is missing: declare the queue again")
		}
	}
	return c.deliveryError(opSettle, err)
}
