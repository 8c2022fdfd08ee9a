package move

import (
	"errors"
	"hash/maphash"
	"time"
)

// A job that is to stay cannot be given back at once: it would be the next that is handed out.
// So it is held until the mover has been through the queue, and then released, at its place and
// with its history. What would be too much to hold is put behind the others instead, by a retry with a
// short delay. When one of those is met a second time, the mover has been through. Then the
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
	seen  map[uint64]bool // those that were put behind the others
	again bool            // one of them was met a second time
	// extended is when all that is held was extended, or the sweep began.
	extended time.Time
}

// take holds parcels until the end of the sweep, and returns those that are too many.
func (a *aside) take(parcels []*parcel) (behind []*parcel) {
	for _, p := range parcels {
		number := maphash.String(a.seed, importKey(&p.entry, false))
		a.again = a.again || a.seen[number]
		if size := p.entry.Size(); len(a.held) < mostAside && a.bytes+size <= mostAsideBytes {
			a.held = append(a.held, p)
			a.bytes += size
		} else {
			a.seen[number] = true
			behind = append(behind, p)
		}
	}
	return behind
}

// errBehind ends a move that leaves jobs which were to be moved: nothing of a group overtakes.
var errBehind = errors.New("they wait behind others of their groups that stay: let workers of the source have those first")
