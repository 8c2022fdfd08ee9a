package redis

import (
	"context"
	"errors"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// Extend renews leases with one script, in which the consumer claims its jobs
// from itself.
func (h *holder) Extend(ctx context.Context, deliveries []*driver.Delivery) []error {
	n := len(deliveries)
	if n == 0 {
		return nil
	}
	if h.ended() {
		return fault.All(n, closed("extend", h.queue))
	}
	of := func(i int) *receipt {
		r, _ := deliveries[i].Receipt.(*receipt)
		return r
	}
	counts, total := countByStream(n, of)
	var errs []error
	for i := 0; i < n && total < n; i++ {
		if of(i) == nil {
			errs = fault.Set(errs, n, i, faults.Refuse("extend", h.queue, driver.ErrConfig,
				errors.New("the delivery is not this driver's"), ""))
		}
	}
	if total == 0 {
		return errs
	}
	args := append(extendScript.args(h.names, 1+len(counts)+total), h.name)
	args, order := counts.appendTo(args, make([]int, 0, total), n, of)
	raw, err := h.conn.eval(ctx, extendScript, args)
	if err != nil {
		return fault.All(n, fail("extend", h.queue, err))
	}
	errs, err = h.addRefused(errs, n, "extend", raw, order)
	if err != nil {
		return fault.All(n, err)
	}
	return errs
}

// Abandon does nothing: what is not extended any more becomes available when its
// lease ends.
func (*holder) Abandon(context.Context, []*driver.Delivery) {}
