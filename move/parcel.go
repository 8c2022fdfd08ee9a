package move

import (
	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// parcel is one job on its way.
type parcel struct {
	entry batch.Entry
	// delivery is the lease on a waiting job, else nil.
	delivery *driver.Delivery

	stored bool
	// earlier says that a mover has stored it before, which died before it was removed.
	earlier bool
	// doubtful says that a try to store it may have been carried out although it failed.
	doubtful bool
	refused  *RefusedError
	// gone says that the job is no longer ours to move: somebody else holds it.
	gone bool
	// forced are the properties that were taken from it after a refusal.
	forced map[Property]bool
}

// open tells whether there is still something to do to store it.
func (p *parcel) open() bool { return !p.stored && p.refused == nil && !p.gone }

// entryOf is a delivery as it was before the mover took it.
func entryOf(d *driver.Delivery) batch.Entry {
	return batch.Entry{
		Message: d.Message, State: batch.StateWaiting, Failures: d.Failures, LastError: d.LastError,
		Bounces: d.Bounces, BouncedSince: d.BouncedSince, Deliveries: max(d.Deliveries-1, 0),
	}
}

// force takes a property from the job that was refused because of it.
func (p *parcel) force(property Property) {
	if p.forced == nil {
		p.forced = make(map[Property]bool)
	}
	p.forced[property] = true
	switch e := &p.entry; property {
	case Priority:
		e.Level = batch.Normal
	case Group:
		e.Group = ""
	case DedupKey:
		e.DedupKey = ""
	case Headers:
		e.Headers = nil
	case Delay:
		e.Delay = 0
	}
}

// stillOpen are the parcels that are still to be stored.
func stillOpen(parcels []*parcel) []*parcel {
	var left []*parcel
	for _, p := range parcels {
		if p.open() {
			left = append(left, p)
		}
	}
	return left
}

// sameJob tells whether two entries are of one job, by what a move does not change.
func sameJob(a, b *batch.Entry) bool {
	return a.ID == b.ID && a.Kind == b.Kind && a.EnqueuedAt.Equal(b.EnqueuedAt) && string(a.Body) == string(b.Body)
}

// chunks cuts parcels into pieces of at most n.
func chunks(parcels []*parcel, n int) func(yield func([]*parcel) bool) {
	return func(yield func([]*parcel) bool) {
		for len(parcels) > 0 {
			k := min(max(n, 1), len(parcels))
			if !yield(parcels[:k]) {
				return
			}
			parcels = parcels[k:]
		}
	}
}
