package redis

import (
	"context"
	"errors"

	"github.com/batch-go/batch/driver"
)

// Settle ends deliveries with one script.
func (c *consumer) Settle(ctx context.Context, settlements []driver.Settlement) []error {
	if len(settlements) == 0 {
		return nil
	}
	if c.isClosed() {
		return all(len(settlements), closed("settle", c.queue))
	}
	errs, err := c.settle(ctx, settlements, "")
	if err != nil {
		return all(len(settlements), err)
	}
	return errs
}

// settle is Settle also for a consumer that closes. If as is not empty it is
// the outcome of all, in the script's words.
func (c *consumer) settle(ctx context.Context, settlements []driver.Settlement, as string) ([]error, error) {
	// The script wants those that are simply done first, by stream.
	var done [len(levelNames)]int
	simple := 0
	for i := range settlements {
		if r := simply(&settlements[i]); r != nil {
			done[r.stream-1]++
			simple++
		}
	}
	args := settleScript.args(c.k, len(done)+simple+7*(len(settlements)-simple))
	for _, n := range done {
		args = append(args, n)
	}
	order := make([]int, 0, len(settlements))
	for lvl := 1; lvl <= len(done) && simple > 0; lvl++ {
		if done[lvl-1] == 0 {
			continue
		}
		for i := range settlements {
			if r := simply(&settlements[i]); r != nil && r.stream == lvl {
				args = append(args, &r.id)
				order = append(order, i)
			}
		}
	}
	var errs []error
	if len(order) < len(settlements) {
		for i := range settlements {
			s := &settlements[i]
			if simply(s) != nil {
				continue
			}
			r, ok := s.Delivery.Receipt.(*receipt)
			outcome := as
			if outcome == "" {
				outcome = s.Outcome.String()
			}
			if !ok || s.Outcome < driver.Done || s.Outcome > driver.Dead {
				errs = set(errs, len(settlements), i, &driver.Error{Driver: Name, Op: "settle", Queue: c.queue, Kind: driver.ErrConfig,
					Fate: driver.FateNotStored, Err: errors.New("the delivery is not this driver's, or the outcome is none")})
				continue
			}
			args = append(args, r.stream, r.id, outcome, ceilMS(s.Delay), s.Failures, s.Error, s.Reason)
			order = append(order, i)
		}
	}
	if len(order) == 0 {
		return errs, nil
	}
	raw, err := c.d.eval(ctx, settleScript, args)
	if err != nil {
		return nil, fail("settle", c.queue, err)
	}
	errs, err = c.lost(errs, "settle", raw, order, len(settlements))
	return errs, err
}

// simply is the receipt of a settlement that only removes the job, else nil.
func simply(s *driver.Settlement) *receipt {
	if s.Outcome != driver.Done || s.Delivery.Group != "" {
		return nil
	}
	r, _ := s.Delivery.Receipt.(*receipt)
	return r
}

// lost reads a reply that lists positions in order, from 1, and gives those the
// error of a lost lease.
func (c *consumer) lost(errs []error, op string, raw []byte, order []int, n int) ([]error, error) {
	r := reader{buf: raw}
	for range r.array() {
		at := int(r.int()) - 1
		if at < 0 || at >= len(order) {
			return nil, fail(op, c.queue, errReply)
		}
		errs = set(errs, n, order[at], &driver.Error{Driver: Name, Op: op, Queue: c.queue, Kind: driver.ErrLeaseLost, Fate: driver.FateNotStored})
	}
	return errs, fail(op, c.queue, r.err)
}

// set puts an error in its place, of n.
func set(errs []error, n, i int, err error) []error {
	if errs == nil {
		errs = make([]error, n)
	}
	errs[i] = err
	return errs
}
