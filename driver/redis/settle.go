package redis

import (
	"context"
	"errors"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
	"github.com/batch-go/batch/internal/wire"
)

// These are settle.lua's own outcomes.
const (
	// outcomeReturn gives the job back as if it had not been handed out.
	outcomeReturn = "return"
	// outcomeStrip is dead without the headers.
	outcomeStrip = "strip"
)

// What one script stores at most: it keeps the server for some 5 ms, and for the last job
// over the bytes. Jobs that are simply done cost a tenth and are not bounded but by the call.
const (
	pageJobs  = 250
	pageBytes = 1 << 20
)

// Settle ends deliveries: what is simply done first, with as much of the rest as one script
// may store, and then more of the rest, a page a script.
func (h *holder) Settle(ctx context.Context, settlements []driver.Settlement) []error {
	if len(settlements) == 0 {
		return nil
	}
	if h.ended() {
		return fault.All(len(settlements), closed("settle", h.queue))
	}
	return h.settle(ctx, settlements, "")
}

// settle is Settle also for a consumer that closes. If as is not empty, it is the
// outcome of all in the script's words.
func (h *holder) settle(ctx context.Context, settlements []driver.Settlement, as string) []error {
	n := len(settlements)
	simply := func(i int) *receipt { return simplyDone(&settlements[i]) }
	counts, simple := countByStream(n, simply)
	args := append(settleScript.args(h.names, 1+len(counts)+simple+9*min(n-simple, pageJobs)), h.name)
	args, order := counts.appendTo(args, make([]int, 0, n), n, simply)
	var errs []error
	for at := 0; ; {
		if simple < n {
			args, order, at, errs = h.appendPage(args, order, at, settlements, as, errs)
		} else {
			at = n
		}
		if len(order) > 0 {
			var err error
			if errs, err = h.settlePage(ctx, args, order, n, errs); err != nil {
				return failRest(errs, settlements, at, err)
			}
		}
		if at == n {
			return errs
		}
		args = append(settleScript.args(h.names, 1+len(counts)+9*min(n-at, pageJobs)), h.name)
		args, _ = perStream{}.appendTo(args, nil, 0, nil)
		order = order[:0]
	}
}

// settlePage runs the script for one page, and puts its results into errs. It also returns
// the error of the page as a whole.
func (h *holder) settlePage(ctx context.Context, args []any, order []int, n int, errs []error) ([]error, error) {
	raw, err := h.conn.eval(ctx, settleScript, args)
	if err == nil {
		errs, err = h.addRefused(errs, n, "settle", raw, order)
	}
	if err == nil {
		return errs, nil
	}
	err = fail("settle", h.queue, err)
	for _, i := range order {
		errs = fault.Set(errs, n, i, err)
	}
	return errs, err
}

// failRest gives the settlements from at on that are not simply done an error, as the page
// before them failed as a whole.
func failRest(errs []error, settlements []driver.Settlement, at int, cause error) []error {
	if at == len(settlements) {
		return errs
	}
	err := notSent(cause)
	for i := at; i < len(settlements); i++ {
		if simplyDone(&settlements[i]) == nil {
			errs = fault.Set(errs, len(settlements), i, err)
		}
	}
	return errs
}

// simplyDone is the receipt of a settlement that only removes the job, else nil.
func simplyDone(s *driver.Settlement) *receipt {
	if s.Outcome != driver.OutcomeDone || s.Delivery.Group != "" {
		return nil
	}
	r, _ := s.Delivery.Receipt.(*receipt)
	return r
}

// appendPage appends a page of the settlements from at on that are not simply done, and to
// order the position of each. It returns where the next page begins.
func (h *holder) appendPage(args []any, order []int, at int, settlements []driver.Settlement, as string, errs []error) ([]any, []int, int, []error) {
	jobs, bytes := 0, 0
	for ; at < len(settlements) && jobs < pageJobs && bytes < pageBytes; at++ {
		s := &settlements[at]
		if simplyDone(s) != nil {
			continue
		}
		r, ok := s.Delivery.Receipt.(*receipt)
		if !ok || s.Outcome < driver.OutcomeDone || s.Outcome > driver.OutcomeDead || s.Delay < 0 || s.Delay > maxDelay || s.Failures < 0 || s.Bounces < 0 {
			errs = fault.Set(errs, len(settlements), at, faults.Refuse("settle", h.queue, driver.ErrConfig,
				errors.New("the delivery is not this driver's, the outcome is none, or a number is out of bounds"), ""))
			continue
		}
		outcome := as
		switch {
		case outcome != "":
		case s.Strip && s.Outcome == driver.OutcomeDead:
			outcome = outcomeStrip
		default:
			outcome = s.Outcome.String()
		}
		args = append(args, r.stream, r.id, outcome, wire.Millis(s.Delay), s.Failures, s.Error, s.Reason, s.Bounces, unixMillis(s.BouncedSince))
		order = append(order, at)
		jobs++
		bytes += s.Delivery.Size()
	}
	return args, order, at, errs
}
