package memory

import (
	"context"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// Extend renews leases, under one lock.
func (c *consumer) Extend(ctx context.Context, deliveries []*driver.Delivery) []error {
	if len(deliveries) == 0 {
		return nil
	}
	q, sub, now, err := c.begin(ctx, "extend", len(deliveries))
	if err != nil {
		return fault.All(len(deliveries), err)
	}
	var errs []error
	for i, d := range deliveries {
		l := q.running.held(d)
		if l == nil {
			errs = fault.Set(errs, len(deliveries), i, faults.LeaseLost("extend", q.name))
			continue
		}
		if l.locked != nil { // for the case of a rollback
			l.list, l.deadline = sub.leases, now+sub.leases.length
			continue
		}
		l.list.remove(l)
		sub.leases.push(l, now)
	}
	q.end(now)
	return errs
}

// Abandon does nothing: what is not extended any more becomes available when its
// lease ends.
func (*consumer) Abandon(context.Context, []*driver.Delivery) {}
