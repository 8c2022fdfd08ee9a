package table

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// patience is for how long a call is tried again that databases end because others
	// are in its way. That mostly takes one more try.
	patience = 10 * time.Second
	// The bounds of the pause before a try.
	leastPause = 2 * time.Millisecond
	mostPause  = 250 * time.Millisecond
)

// Again calls do until it returns an error that does not pass, or none, or patience or
// ctx end: the error is the last of do's. An error passes if the database has undone
// the call because of others.
func Again(ctx context.Context, passes func(error) bool, do func() error) error {
	start := time.Now()
	var timer *time.Timer
	for pause := leastPause; ; pause = min(2*pause, mostPause) {
		err := do()
		if err == nil || !passes(err) || ctx.Err() != nil || time.Since(start) > patience {
			return err
		}
		wait := pause/2 + rand.N(pause)
		if timer == nil {
			timer = time.NewTimer(wait)
			defer timer.Stop()
		} else {
			timer.Reset(wait)
		}
		select {
		case <-timer.C:
		case <-ctx.Done():
			return err
		}
	}
}

// Looks is how often a Begin looks that neither claims the key nor sees who has it.
const Looks = 5
