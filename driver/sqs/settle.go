package sqs

import (
	"context"
	"errors"
	"sync"
	"time"

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
	var replaced batch[*driver.Settlement]
	var ended batch[*receipt]
	onlyDone := true
	claimed := make([]*receipt, 0, len(settlements))
	defer func() {
		for _, r := range claimed {
			r.busy.Store(false)
		}
	}()
	for i := range settlements {
		s := &settlements[i]
		onlyDone = onlyDone && s.Outcome == driver.OutcomeDone
		r := claim(s.Delivery, goneAt)
		if r != nil {
			claimed = append(claimed, r)
		}
		err := faults.CheckSettlement(c.queue, s, maxDelay)
		switch {
		case r == nil:
			failed(i, faults.LeaseLost(opSettle, c.queue))
		case err != nil:
			failed(i, err)
		case s.Outcome != driver.OutcomeDone && !r.stored.Load():
			replaced.add(i, s)
		default:
			ended.add(i, r)
		}
	}
	notDeleted, notStored := c.carryOut(ctx, ended.items, replaced.items, onlyDone)
	ended.report(notDeleted, failed)
	replaced.report(notStored, failed)
	return errs
}

// carryOut deletes what has ended and replaces the others. What has ended waits for
// nothing that is to be stored, and is held if all of the call is done.
func (c *consumer) carryOut(ctx context.Context, ended []*receipt, replaced []*driver.Settlement, onlyDone bool) (notDeleted, notStored []error) {
	if onlyDone && len(ended) > 0 {
		if err := c.holder.hold(ctx, ended); err != nil {
			return fault.All(len(ended), fail(opSettle, c.queue, err)), nil
		}
	}
	var storing sync.WaitGroup
	if len(replaced) > 0 {
		storing.Go(func() { notStored = c.replace(ctx, replaced) })
	}
	notDeleted = c.end(ctx, ended)
	storing.Wait()
	return notDeleted, notStored
}

// claim takes the receipt of a delivery for one call of Settle, so that no other call
// settles it at the same time. It is nil if the delivery cannot be settled.
func claim(d *driver.Delivery, goneAt time.Duration) *receipt {
	r := heldReceipt(d, goneAt)
	if r == nil || !r.busy.CompareAndSwap(false, true) {
		return nil
	}
	if r.settled.Load() { // by a call that has just ended
		r.busy.Store(false)
		return nil
	}
	return r
}

// end deletes messages, whose deliveries are settled by that.
func (c *consumer) end(ctx context.Context, receipts []*receipt) []error {
	errs := c.base.client.delete(ctx, receipts)
	for i, r := range receipts {
		if errs == nil || errs[i] == nil {
			r.settled.Store(true)
		} else {
			errs[i] = c.deliveryError(opSettle, errs[i])
		}
	}
	return errs
}

// replace stores the messages that take the places of deliveries, and then deletes
// those of the deliveries.
func (c *consumer) replace(ctx context.Context, settlements []*driver.Settlement) []error {
	q, err := c.base.resolve(ctx, c.queue)
	if err != nil {
		err = fault.NotSent{Err: err}
	}
	var errs []error
	failed := func(i int, err error) { errs = fault.Set(errs, len(settlements), i, err) }
	exists := make(map[string]bool) // what the errors ask of each SQS queue
	var sent batch[*entry]
	for i, s := range settlements {
		if err != nil {
			failed(i, c.storeError(ctx, receiptOf(s), err, exists))
		} else if e := c.settledEntry(s, receiptOf(s), q.maxMessage); e.size() > q.maxMessage {
			failed(i, tooLarge(opSettle, c.queue, e, q.maxMessage))
		} else {
			sent.add(i, e)
		}
	}
	if err != nil {
		return errs
	}
	var ended batch[*receipt]
	notStored := c.base.client.send(ctx, q, sent.items)
	for k, i := range sent.index {
		r := receiptOf(settlements[i])
		if notStored != nil && notStored[k] != nil {
			failed(i, c.storeError(ctx, r, notStored[k], exists))
			continue
		}
		r.stored.Store(true)
		ended.add(i, r)
	}
	ended.report(c.end(ctx, ended.items), failed)
	return errs
}

// receiptOf is the receipt of a settlement that heldReceipt has looked at.
func receiptOf(s *driver.Settlement) *receipt { return s.Delivery.Receipt.(*receipt) }

// settledEntry is the message that takes the delivery's place. It may be larger than
// most bytes only where the core has something else to try.
func (c *consumer) settledEntry(s *driver.Settlement, r *receipt, most int) *entry {
	if s.Outcome == driver.OutcomeRelease {
		e := r.released()
		if e.size() > most {
			e.attribute = r.attribute // fits as r did, and forgets how often the job was handed out
		}
		return e
	}
	d := r.meta
	d.history = history{
		Failures: s.Failures, Error: s.Error,
		Bounces: s.Bounces, Bounced: millisOf(s.BouncedSince), Deliveries: r.deliveries(),
	}
	e := &entry{body: r.body, to: toDead, delaySeconds: d.setDelay(0)}
	switch s.Outcome {
	case driver.OutcomeDead:
		d.Reason = s.Reason
		if s.Strip {
			e.strip(d, r, most)
			return e
		}
	default:
		e.to = c.base.destination(s.Delay)
		e.delaySeconds = d.setDelay(s.Delay)
		if e.to == toWork {
			e.token = r.token()
		}
	}
	e.attribute = d.text()
	return e
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
			c.base.forget(c.queue, driver.ErrNotFound) // the next try makes what is missing
			return faults.Refuse(opSettle, c.queue, driver.ErrUnavailable, err, "the queue for dead letters or retries is missing: it is made again, or declare the queue")
		}
	}
	return c.deliveryError(opSettle, err)
}
