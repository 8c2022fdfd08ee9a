package move

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/batch-go/batch"
)

// The time between two tries of what failed: too short, and a broker that starts is kept busy by
// those who ask whether it is there; too long, and the move stands still after it is.
const (
	shortestWait = 100 * time.Millisecond
	longestWait  = 5 * time.Second
)

// patience is how long one loop of a mover bears that a broker fails.
type patience struct {
	config *config
	since  time.Time // the first failure in a row, or zero
	next   time.Duration
}

// well says that something succeeded.
func (p *patience) well() { p.since, p.next = time.Time{}, 0 }

// await waits before another try of what failed with err. It returns an error if there is to be
// none: err itself if nothing but a person mends it or it has lasted for too long, or the cause
// of ctx's end.
func (p *patience) await(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if hopeless(err) {
		return err
	}
	now := time.Now()
	if p.since.IsZero() {
		p.since, p.next = now, shortestWait
	}
	if !p.config.follow && now.Sub(p.since) >= p.config.patience {
		return err
	}
	p.config.fault(err)
	wait := p.next/2 + rand.N(p.next/2+1)
	p.next = min(2*p.next, longestWait)
	return pause(ctx, wait)
}

// pause waits for so long, or returns the cause of ctx's end.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// hopeless tells whether trying again is of no use.
func hopeless(err error) bool {
	for _, kind := range []error{
		batch.ErrNotFound, batch.ErrUnauthorized, batch.ErrUnsupported, batch.ErrConfig, batch.ErrConflict, batch.ErrClosed,
		batch.ErrInvalid, batch.ErrCapability,
	} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}
