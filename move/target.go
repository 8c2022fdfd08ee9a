package move

import (
	"context"
	"errors"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// target stores jobs.
type target struct {
	carrier
	config *config
	queue  *batch.Queue[batch.Importer]
	// look is nil if the target cannot be looked into.
	look driver.Inspector
	// known are the keys of jobs that this move has stored, of late.
	known recent
}

// newTarget makes the target. It does not talk to the broker.
func newTarget(c *config, to batch.Importer) (*target, error) {
	q, err := batch.TryNewQueue(to, c.to)
	if err != nil {
		return nil, err
	}
	look, _ := to.(driver.Inspector)
	return &target{carrier: newCarrier(to), config: c, queue: q, look: look}, nil
}

// store stores parcels, each of which is stored, refused or gone afterwards, unless there is an
// error. keep is called before each try but the first: it may find that some are gone. Each
// try takes no longer than most.
func (t *target) store(ctx context.Context, parcels []*parcel, most time.Duration, keep func(context.Context, []*parcel)) error {
	p := patience{config: t.config}
	for _, one := range parcels {
		t.strip(&one.entry, t.config.drop)
		if t.once && one.entry.ImportKey == "" {
			one.entry.ImportKey = importKey(&one.entry, one.entry.State == batch.StateDead)
		}
	}
	for left := parcels; ; {
		if left = stillOpen(left); len(left) == 0 {
			return nil
		}
		failed := t.try(ctx, left, most)
		if failed == nil {
			continue
		}
		if err := p.await(ctx, failed); err != nil {
			return err
		}
		keep(ctx, left)
		t.recognize(ctx, left, most)
	}
}

// try makes one import. It returns an error that has to be waited out, or nil: then those that
// are still open can be tried again at once.
func (t *target) try(ctx context.Context, parcels []*parcel, most time.Duration) (failed error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	entries := make([]batch.Entry, len(parcels))
	for i, p := range parcels {
		entries[i] = p.entry
	}
	results, _ := batch.Import(ctx, t.queue, entries) // the results have the errors
	for i, r := range results {
		err := error(nil)
		switch {
		case r.Err != nil:
			err = t.judge(parcels[i], r.Err)
		case r.Duplicate:
			err = t.verify(ctx, parcels[i])
		default:
			parcels[i].stored = true
			t.known.add(parcels[i].entry.ImportKey)
		}
		if failed == nil {
			failed = err
		}
	}
	return failed
}

// judge notes why a parcel was not stored. It returns an error that has to be waited out.
func (t *target) judge(p *parcel, err error) error {
	if refused := t.refusal(&p.entry, t.queue.Name(), err); refused != nil {
		if !t.config.drop[refused.Property] || p.forced[refused.Property] {
			p.refused = refused
			return nil
		}
		p.force(refused.Property)
		return nil
	}
	var sent *batch.EnqueueError
	if errors.As(err, &sent) && sent.Fate == driver.FateUnknown {
		p.doubtful = true
	}
	return err
}

// verify looks at a parcel whose key the target knows. If a mover left it behind as it died, it is
// stored already. Else it is another job: a twin, or one that was moved there before and came
// back. Then it is stored without a key, for to take it for the first would lose it.
func (t *target) verify(ctx context.Context, p *parcel) error {
	is, err := t.leftover(ctx, p)
	switch {
	case err != nil:
		return err
	case is:
		p.stored, p.earlier = true, true
		t.known.add(p.entry.ImportKey)
	default:
		p.entry.ImportKey = ""
	}
	return nil
}

// leftover tells whether a parcel whose key the target knows is a job that a mover has stored and
// not removed. The holder of a waiting job has vanished then, but a broker that crashed may have
// forgotten that. So it is looked for, unless this mover has stored one that is equal: that is a
// twin. If it is on the target no more, nobody can tell whether it has run there or was taken back to the source.
func (t *target) leftover(ctx context.Context, p *parcel) (bool, error) {
	switch {
	case p.doubtful: // it was stored by the try before
		return true, nil
	case p.delivery != nil && p.delivery.Redeliveries > 0:
		return true, nil
	case t.known.has(p.entry.ImportKey) || t.look == nil:
		return false, nil
	}
	found, err := t.look.Find(ctx, t.queue.Name(), p.entry.ID)
	if errors.Is(err, batch.ErrNotFound) {
		return false, nil
	}
	return err == nil && sameJob(&found, &p.entry) && (p.delivery != nil || found.State == p.entry.State), err
}

// recognize looks for the doubtful ones where the target can be looked into and knows no keys:
// what is found need not be stored again.
func (t *target) recognize(ctx context.Context, parcels []*parcel, most time.Duration) {
	if t.look == nil || t.once {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for _, p := range parcels {
		if !p.doubtful || !p.open() {
			continue
		}
		if found, err := t.look.Find(ctx, t.queue.Name(), p.entry.ID); err == nil && sameJob(&found, &p.entry) {
			p.stored, p.doubtful = true, false
		}
	}
}
