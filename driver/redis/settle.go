package redis

import (
	"context"
	"errors"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
	"github.com/batch-go/batch/internal/wire"
)

// outcomeReturn is settle.lua's own outcome: the job goes back as if it had not been
// handed out.
const outcomeReturn = "return"

// Settle ends deliveries with one script.
func (h *holder) Settle(ctx context.Context, settlements []driver.Settlement) []error {
	if len(settlements) == 0 {
		return nil
	}
	if h.ended() {
		return fault.All(len(settlements), closed("settle", h.queue))
	}
	errs, err := h.settle(ctx, settlements, "")
	if err != nil {
		return fault.All(len(settlements), err)
	}
	return errs
}

// settle is Settle also for a consumer that closes. If as is not empty, it is the
// outcome of all in the script's words.
func (h *holder) settle(ctx context.Context, settlements []driver.Settlement, as string) ([]error, error) {
	// The script wants those that are simply done first.
	n := len(settlements)
	simply := func(i int) *receipt { return simplyDone(&settlements[i]) }
	counts, simple := countByStream(n, simply)
	args := settleScript.args(h.names, len(counts)+simple+9*(n-simple))
	args, order := counts.appendTo(args, make([]int, 0, n), n, simply)
	var errs []error
	if simple < n {
		args, order, errs = h.appendOthers(args, order, settlements, as)
	}
	if len(order) == 0 {
		return errs, nil
	}
	raw, err := h.conn.eval(ctx, settleScript, args)
	if err != nil {
		return nil, fail("settle", h.queue, err)
	}
	return h.addLost(errs, n, "settle", raw, order)
}

// simplyDone is the receipt of a settlement that only removes the job, else nil.
func simplyDone(s *driver.Settlement) *receipt {
	if s.Outcome != driver.OutcomeDone || s.Delivery.Group != "" {
		return nil
	}
	r, _ := s.Delivery.Receipt.(*receipt)
	return r
}

// appendOthers appends the settlements that are not simply done, and to order the
// position of each.
func (h *holder) appendOthers(args []any, order []int, settlements []driver.Settlement, as string) ([]any, []int, []error) {
	var errs []error
	for i := range settlements {
		s := &settlements[i]
		if simplyDone(s) != nil {
			continue
		}
		r, ok := s.Delivery.Receipt.(*receipt)
		if !ok || s.Outcome < driver.OutcomeDone || s.Outcome > driver.OutcomeDead {
			errs = fault.Set(errs, len(settlements), i, faults.Refuse("settle", h.queue, driver.ErrConfig,
				errors.New("the delivery is not this driver's, or the outcome is none"), ""))
			continue
		}
		outcome := as
		if outcome == "" {
			outcome = s.Outcome.String()
		}
		args = append(args, r.stream, r.id, outcome, wire.Millis(s.Delay), s.Failures, s.Error, s.Reason, s.Bounces, unixMillis(s.BouncedSince))
		order = append(order, i)
	}
	return args, order, errs
}
