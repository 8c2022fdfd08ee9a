package move

import (
	"context"
	"errors"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// mostReason bounds the text of a parked job: it has to fit beside a job that is as large as the
// source takes one.
const mostReason = 500

// bury makes dead letters of jobs that the target cannot keep. One that cannot be settled is
// abandoned: it comes back when its lease ends, and is refused again.
func (h *hand) bury(parcels []*parcel) {
	for chunk := range chunks(parcels, h.from.Info().Limits.SettleBatch) {
		left, large := h.settleDead(chunk, false)
		h.abandon(left)
		left, large = h.settleDead(large, true)
		h.abandon(append(left, large...))
	}
}

// settleDead settles parcels as dead, and returns those that could not be settled, and those that are
// too large for the source with what is to be said of them.
func (h *hand) settleDead(parcels []*parcel, strip bool) (left, large []*parcel) {
	if len(parcels) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.finishing), h.most)
	defer cancel()
	settlements := make([]driver.Settlement, len(parcels))
	for i, p := range parcels {
		settlements[i] = p.burial(strip)
	}
	errs := h.consumer.Settle(ctx, settlements)
	for i, p := range parcels {
		switch err := at(errs, i); {
		case err == nil:
			h.tally.change(func(c *Progress) { c.Parked++ })
			h.fault(p.refused)
		case errors.Is(err, batch.ErrTooLarge):
			large = append(large, p)
		case !errors.Is(err, batch.ErrLeaseLost):
			left = append(left, p)
		}
	}
	return left, large
}

// burial settles a parcel as dead.
func (p *parcel) burial(strip bool) driver.Settlement {
	text := p.refused.reason()
	if strip {
		text = "its headers are missing, as it did not fit with them and with this text; " + text
	}
	d := p.delivery
	return driver.Settlement{
		Delivery: d, Outcome: driver.OutcomeDead, Reason: driver.ReasonRefused, Error: cut(text, mostReason), Strip: strip,
		Failures: d.Failures, Bounces: d.Bounces, BouncedSince: d.BouncedSince,
	}
}

// cut is the beginning of a text, in n bytes at most.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && text[n]&0xC0 == 0x80 { // within a character
		n--
	}
	return text[:n]
}
