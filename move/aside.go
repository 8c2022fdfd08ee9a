package move

import (
	"hash/maphash"
	"time"
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

// take holds parcels until the end of the sweep, and returns those that are too many.
func (a *aside) take(parcels []*parcel) (behind []*parcel) {
	for _, p := range parcels {
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
	return behind
}
