package redis

import (
	"context"
	"errors"

	"github.com/batch-go/batch/driver"
)

// Extend renews leases with one script of claims to self.
func (c *consumer) Extend(ctx context.Context, deliveries []*driver.Delivery) []error {
	if len(deliveries) == 0 {
		return nil
	}
	if c.isClosed() {
		return all(len(deliveries), closed("extend", c.queue))
	}
	var held [len(levelNames)]int
	var errs []error
	for i, d := range deliveries {
		if r, ok := d.Receipt.(*receipt); ok {
			held[r.stream-1]++
		} else {
			errs = set(errs, len(deliveries), i, &driver.Error{Driver: Name, Op: "extend", Queue: c.queue, Kind: driver.ErrConfig,
				Fate: driver.FateNotStored, Err: errors.New("the delivery is not this driver's")})
		}
	}
	args := append(extendScript.args(c.k, 1+len(held)+len(deliveries)), c.name)
	for _, n := range held {
		args = append(args, n)
	}
	order := make([]int, 0, len(deliveries))
	for lvl := 1; lvl <= len(held); lvl++ {
		if held[lvl-1] == 0 {
			continue
		}
		for i, d := range deliveries {
			if r, ok := d.Receipt.(*receipt); ok && r.stream == lvl {
				args = append(args, &r.id)
				order = append(order, i)
			}
		}
	}
	if len(order) == 0 {
		return errs
	}
	raw, err := c.d.eval(ctx, extendScript, args)
	if err != nil {
		return all(len(deliveries), fail("extend", c.queue, err))
	}
	errs, err = c.lost(errs, "extend", raw, order, len(deliveries))
	if err != nil {
		return all(len(deliveries), err)
	}
	return errs
}
