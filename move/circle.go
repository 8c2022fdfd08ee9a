package move

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// errCircle says that what was moved comes back. It is found by jobs that are met again and again.
var errCircle = errors.New("the job comes back as often as it is moved: another mover moves the other way")

// mostReturns is how often one job may be moved by one mover: more than once, for a job that
// somebody imports again by hand.
const mostReturns = 4

// circle finds that what was moved comes back, as by another mover: then the move would never end. It is safe for concurrent use.
type circle struct {
	mu    sync.Mutex // guards following
	id    string     // of the job that is watched, or empty
	at    time.Time  // when it was enqueued
	moved int        // how often
	since int        // how many jobs were moved since it was
}

// afterWhich another job is watched: one that comes back does so after the others of the queue.
const afterWhich = 1_000_000

// check is called with what was moved.
func (c *circle) check(parcels []*parcel) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range parcels {
		c.since++
		switch {
		case c.id == "" || c.since > afterWhich:
			c.id, c.at, c.moved, c.since = p.entry.ID, p.entry.EnqueuedAt, 1, 0
		case p.entry.ID == c.id && p.entry.EnqueuedAt.Equal(c.at):
			if c.moved, c.since = c.moved+1, 0; c.moved > mostReturns {
				return fmt.Errorf("move: job %s: %w", quote(c.id), errCircle)
			}
		}
	}
	return nil
}
