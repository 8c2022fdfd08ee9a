package move

import (
	"context"
	"hash/maphash"
	"time"

	"github.com/batch-go/batch/driver"
)

// A job that is to stay cannot be given back at once: it would be the next that is handed out.
// So it is held until the mover has been through the queue, and then released, at its place and
// with its history. What would be too much to hold is put behind the others instead, by a retry with a
// short delay. A job that is met a second time tells that the mover has been through. Then the
// queue is left alone for a while, so that its workers have it for most of the time.
const (
	// mostAside bounds what is held. Much more, and the workers have too little; much less, and
	// a queue of some length loses its order.
	mostAside = 1000
	// mostAsideBytes bounds it in bytes.
	mostAsideBytes = 16 << 20
	// asideFor is how long a job is held back that is put behind the others.
	asideFor = time.Second
	// sweepWait is how long a hand waits for jobs before it takes the queue for empty.
	sweepWait = time.Second
	// restTimes is how many times as long as a sweep took the queue is left alone, and leastRest
	// the least.
	restTimes = 4
	leastRest = 2 * time.Second
)

// aside is what a hand holds in one sweep.
type aside struct {
	held  []*parcel
	bytes int
	seed  maphash.Seed
	seen  map[uint64]bool
	again bool // one was met a second time
	// extended is when all that is held was extended, or the sweep began.
	extended time.Time
}

// sweep goes through the queue once, gives back what is to stay, and rests.
func (h *hand) sweep(ctx context.Context) error {
	start := time.Now()
	h.aside = aside{seed: maphash.MakeSeed(), seen: make(map[uint64]bool), extended: start}
	moved := false
	for ctx.Err() == nil && !h.aside.again {
		receiving, cancel := context.WithTimeout(ctx, sweepWait)
		parcels, err := h.takeOnce(ctx, receiving)
		ended := receiving.Err() != nil
		cancel()
		for _, p := range parcels {
			moved = moved || p.stored
		}
		if err != nil {
			return err
		}
		if len(parcels) == 0 && ended {
			break
		}
		if time.Since(h.aside.extended) > h.most {
			h.extend(h.finishing, h.aside.held)
			h.aside.extended = time.Now()
		}
	}
	h.settleAside()
	if ctx.Err() != nil {
		return nil
	}
	if !moved {
		h.tally.found("waiting", start)
	}
	_ = pause(ctx, max(restTimes*time.Since(start), leastRest)) // run sees why
	return nil
}

// asides puts parcels aside.
func (h *hand) asides(parcels []*parcel) {
	var behind []*parcel
	a := &h.aside
	for _, p := range parcels {
		if p.refused == nil {
			h.tally.change(func(c *Progress) { c.Others++ })
		}
		number := maphash.String(a.seed, p.entry.ID)
		a.again = a.again || a.seen[number]
		a.seen[number] = true
		if size := p.entry.Size(); len(a.held) < mostAside && a.bytes+size <= mostAsideBytes {
			a.held = append(a.held, p)
			a.bytes += size
		} else {
			behind = append(behind, p)
		}
	}
	h.settle(behind, driver.OutcomeRetry)
}

// settleAside gives back what is held.
func (h *hand) settleAside() {
	h.giveBack(h.aside.held)
	h.aside.held = nil
}
