package move

import (
	"context"
	"errors"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// leaseTime is the lease that a mover asks for: too short, and it extends what it stores slowly;
// too long, and what a mover held that died is away for that time.
const leaseTime = 30 * time.Second

// batchSize is how many jobs a hand takes at once: more make no difference to the rate, and are
// away for longer when a mover dies.
const batchSize = 100

// hand is a consumer of the source that moves the waiting jobs.
type hand struct {
	*mover
	consumer driver.Consumer
	patience patience
	// aside are the jobs that it holds and that are not to be moved.
	aside aside
	// most bounds one request, so that no lease ends while a job is stored, forgotten and settled.
	most time.Duration
}

// newHand opens a consumer, as often as it takes.
func (m *mover) newHand(ctx context.Context) (*hand, error) {
	limits := m.from.Info().Limits
	options := driver.ConsumeOptions{Prefetch: min(batchSize, limits.ReceiveBatch)}
	if limits.MaxLease > 0 {
		options.Lease = min(max(leaseTime, limits.MinLease), limits.MaxLease)
	}
	if m.selective() {
		options.Prefetch += mostAside
	}
	h := &hand{mover: m, patience: patience{config: &m.config}}
	for {
		c, err := m.from.Consume(ctx, m.queue, options)
		if err == nil {
			h.consumer = c
			h.most = leaseTime / 2
			if lease := c.Lease(); lease > 0 {
				h.most = lease / 4
			}
			return h, nil
		}
		if err := h.patience.await(ctx, err); err != nil {
			return nil, err
		}
	}
}

// takeOnce receives jobs once and moves them. receiving bounds the wait for them. It returns
// those that it took.
func (h *hand) takeOnce(ctx, receiving context.Context) ([]*parcel, error) {
	n := min(batchSize, h.from.Info().Limits.ReceiveBatch)
	deliveries, err := h.consumer.Receive(receiving, n)
	if err != nil {
		if receiving.Err() != nil {
			return nil, nil
		}
		err = h.patience.await(ctx, err)
		if ctx.Err() != nil {
			err = nil
		}
		return nil, err
	}
	h.patience.well()
	h.tally.begin()
	defer h.tally.end()
	parcels := make([]*parcel, len(deliveries))
	for i, d := range deliveries {
		parcels[i] = &parcel{entry: entryOf(d), delivery: d}
	}
	return parcels, h.carry(parcels)
}

// carry moves parcels: it stores them, then removes them from the source. What is refused, or is
// of another kind, is put aside or given back. A stop of the mover does not interrupt it.
func (h *hand) carry(parcels []*parcel) error {
	ctx := h.finishing
	var wanted, others []*parcel
	for _, p := range parcels {
		if h.wants(p.entry.Kind) {
			wanted = append(wanted, p)
		} else {
			others = append(others, p)
		}
	}
	err := h.target.store(ctx, wanted, h.most, h.extend)
	var stored, back, parked []*parcel
	var refused *RefusedError
	for _, p := range wanted {
		switch {
		case p.stored:
			stored = append(stored, p)
		case p.refused != nil && h.leave:
			h.refuse(p)
			others = append(others, p)
		case p.refused != nil && h.park && p.refused.ofJob():
			parked = append(parked, p)
		case p.refused != nil:
			refused = p.refused
			back = append(back, p)
		case !p.gone:
			back = append(back, p)
			h.doubt(p, err)
		}
	}
	err = errors.Join(err, h.remove(ctx, stored))
	if err == nil {
		err = h.circle.check(stored)
	}
	h.giveBack(back)
	h.bury(parked)
	for _, p := range others {
		if p.refused == nil {
			h.tally.change(func(c *Progress) { c.Others++ })
		}
	}
	h.settle(h.aside.take(others), driver.OutcomeRetry)
	if err == nil && refused != nil {
		return refused
	}
	return err
}

// extend extends the leases of parcels, and notes those that are gone.
func (h *hand) extend(ctx context.Context, parcels []*parcel) {
	ctx, cancel := context.WithTimeout(ctx, h.most)
	defer cancel()
	for chunk := range chunks(parcels, h.from.Info().Limits.ExtendBatch) {
		deliveries := make([]*driver.Delivery, len(chunk))
		for i, p := range chunk {
			deliveries[i] = p.delivery
		}
		for i, err := range h.consumer.Extend(ctx, deliveries) {
			if p := chunk[i]; errors.Is(err, batch.ErrLeaseLost) && !p.stored {
				p.gone = true
				h.doubt(p, err)
			}
		}
	}
}

// remove removes from the source what is stored on the target. The source forgets first that it
// had imported it, so that it can come back.
func (h *hand) remove(ctx context.Context, parcels []*parcel) error {
	err := h.forget(ctx, parcels, h.most)
	for len(parcels) > 0 && err == nil {
		n := min(max(h.from.Info().Limits.SettleBatch, 1), len(parcels))
		var left []*parcel
		if left, err = h.done(ctx, parcels[:n]); err != nil {
			parcels = append(left, parcels[n:]...)
			break
		}
		parcels = parcels[n:]
	}
	if err != nil { // their leases end
		for _, p := range parcels {
			h.double(p, err)
		}
		h.abandon(parcels)
	}
	return err
}

// done settles parcels as done, until each is or its lease is lost. With an error it returns those
// that are left.
func (h *hand) done(ctx context.Context, left []*parcel) ([]*parcel, error) {
	again := make(map[*parcel]bool) // those of which a settlement may have been carried out
	wait := patience{config: &h.config}
	for {
		call, cancel := context.WithTimeout(ctx, h.most)
		errs := h.consumer.Settle(call, settlementsOf(left, driver.OutcomeDone))
		cancel()
		var failed error
		var still []*parcel
		for i, p := range left {
			switch err := at(errs, i); {
			case err == nil, errors.Is(err, batch.ErrLeaseLost) && again[p]:
				h.tally.moved(p.entry.State, p.earlier)
			case errors.Is(err, batch.ErrLeaseLost):
				h.tally.moved(p.entry.State, p.earlier)
				h.double(p, err)
			default:
				again[p] = again[p] || driver.FateOf(err) == driver.FateUnknown
				failed = err
				still = append(still, p)
			}
		}
		if left = still; len(left) == 0 {
			return nil, nil
		}
		if err := wait.await(ctx, failed); err != nil {
			return left, err
		}
		h.extend(ctx, left)
	}
}

// giveBack releases parcels, at their places in the queue.
func (h *hand) giveBack(parcels []*parcel) { h.settle(parcels, driver.OutcomeRelease) }

// settle ends parcels that stay on the source. What cannot be settled is abandoned: it comes back when its
// lease ends.
func (h *hand) settle(parcels []*parcel, as driver.Outcome) {
	for chunk := range chunks(parcels, h.from.Info().Limits.SettleBatch) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(h.finishing), h.most)
		errs := h.consumer.Settle(ctx, settlementsOf(chunk, as))
		cancel()
		var failed []*parcel
		for i, err := range errs {
			if err != nil && !errors.Is(err, batch.ErrLeaseLost) {
				failed = append(failed, chunk[i])
			}
		}
		h.abandon(failed)
	}
}

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

// abandon gives up deliveries that cannot be settled.
func (h *hand) abandon(parcels []*parcel) {
	if len(parcels) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.finishing), grace)
	defer cancel()
	deliveries := make([]*driver.Delivery, len(parcels))
	for i, p := range parcels {
		deliveries[i] = p.delivery
	}
	h.consumer.Abandon(ctx, deliveries)
}

// settlementsOf settles parcels in one way, with their history as it was.
func settlementsOf(parcels []*parcel, as driver.Outcome) []driver.Settlement {
	all := make([]driver.Settlement, len(parcels))
	for i, p := range parcels {
		d := p.delivery
		all[i] = driver.Settlement{
			Delivery: d, Outcome: as, Failures: d.Failures, Error: d.LastError, Bounces: d.Bounces, BouncedSince: d.BouncedSince,
		}
		if as == driver.OutcomeRetry {
			all[i].Delay = asideFor
		}
	}
	return all
}

// at is the error of one of several, of which nil says that none has one.
func at(errs []error, i int) error {
	if errs == nil {
		return nil
	}
	return errs[i]
}
