package sqs

import (
	"context"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// Extend renews leases by setting the visibility timeout, ten to a request.
func (c *consumer) Extend(ctx context.Context, deliveries []*driver.Delivery) []error {
	if len(deliveries) == 0 {
		return nil
	}
	const op = "extend"
	ctx, end, err := c.begin(ctx, op)
	if err != nil {
		return fault.All(len(deliveries), err)
	}
	defer end()
	var errs []error
	failed := func(i int, err error) { errs = fault.Set(errs, len(deliveries), i, err) }
	goneAt := c.base.goneAt(c.queue)
	var held batch[*receipt]
	for i, d := range deliveries {
		if r := heldReceipt(d, goneAt); r != nil {
			held.add(i, r)
		} else {
			failed(i, faults.LeaseLost(op, c.queue))
		}
	}
	// Counted from before the request: SQS may begin the lease at any time since.
	until := int64(sinceEpoch() + c.lease)
	held.report(c.base.client.changeVisibility(ctx, held.items, c.visibility), func(i int, err error) {
		failed(i, c.deliveryError(op, err))
	})
	for k, r := range held.items {
		if errs == nil || errs[held.index[k]] == nil {
			r.until.Store(until)
		}
	}
	return errs
}

// Abandon does nothing: what is not extended any more becomes available when its
// lease ends.
func (*consumer) Abandon(context.Context, []*driver.Delivery) {}
