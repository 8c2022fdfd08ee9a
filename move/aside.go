package move

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"time"

	"github.com/batch-go/batch"
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

// behind counts the jobs that are to be moved and wait behind held ones of their groups. Where the source cannot be
// looked into it says only that there may be some.
func (h *hand) behind(ctx context.Context) (n int, err error) {
	groups := make(map[string]bool)
	for _, p := range h.aside.held {
		if p.entry.Group != "" {
			groups[p.entry.Group] = true
		}
	}
	if len(groups) == 0 {
		return 0, nil
	}
	if !h.source.CanInspect() {
		h.fault(fmt.Errorf("move: jobs may be left on queue %s that are to be moved: %w", h.queue, errBehind))
		return 0, nil
	}
	wait := patience{config: &h.config}
	for cursor := ""; ; {
		call, cancel := context.WithTimeout(ctx, h.most)
		page, next, err := h.source.ListJobs(call, batch.StateWaiting, cursor, letterPage)
		cancel()
		if err != nil {
			if err := wait.await(ctx, err); err != nil {
				return 0, err
			}
			continue
		}
		for i := range page {
			if e := &page[i]; groups[e.Group] && h.wants(e.Kind) {
				n++
			}
		}
		if cursor = next; next == "" {
			return n, nil
		}
	}
}
