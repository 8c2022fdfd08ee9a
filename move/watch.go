package move

import (
	"context"
	"fmt"
	"time"

	"github.com/batch-go/batch"
)

const (
	// watchEvery is how often the source is asked for its depth, and progress is told; and
	// followEvery the same of a move that does not end: the question costs money on some brokers.
	watchEvery  = time.Second
	followEvery = 5 * time.Second
)

// watch tells the progress, and ends the move when the source is empty.
func (m *mover) watch(ctx context.Context) error {
	told := make(chan Progress, 1)
	over := make(chan struct{})
	go func() {
		defer close(over)
		for p := range told {
			m.progress(p)
		}
	}()
	defer func() {
		close(told)
		<-over
	}()
	every := min(watchEvery, max(m.quiet/4, 10*time.Millisecond))
	if m.follow {
		every = followEvery
	}
	var empty time.Time // since when, or zero
	last := time.Time{}
	for ctx.Err() == nil {
		depth := m.depth(ctx)
		now := time.Now()
		if now.Sub(last) >= watchEvery {
			last = now
			select {
			case told <- m.tally.look(depth):
			default: // it still has the one before
			}
		}
		since := m.tally.quiet()
		switch {
		case m.follow:
		case since.IsZero() || !m.isEmpty(depth):
			empty = time.Time{}
		default:
			if empty.IsZero() || since.After(empty) {
				empty = now
			}
			if now.Sub(empty) >= m.config.quiet {
				if n := m.tally.left(); n > 0 {
					return fmt.Errorf("move: %d jobs are left on queue %s that are to be moved: %w", n, m.queue, errBehind)
				}
				return errEmpty
			}
		}
		_ = pause(ctx, every) // the loop sees why
	}
	return nil
}

// isEmpty tells whether nothing is left to move on the source, as far as anybody can tell. An
// unknown count counts as none: then it is the quiet that tells.
func (m *mover) isEmpty(depth batch.Depth) bool {
	if depth == unknownDepth {
		return false // it was not told
	}
	waiting, scheduled, dead := m.states[batch.StateWaiting], m.states[batch.StateScheduled], m.states[batch.StateDead]
	if m.selective() {
		// What is to stay is counted, too, so it is the loops that tell. Of scheduled jobs that
		// cannot be listed nobody knows which they are.
		return !(waiting && !m.tally.looked("waiting")) && !((scheduled || dead) && !m.tally.looked("shelves")) &&
			!(scheduled && !m.source.CanInspect() && depth.Scheduled > 0)
	}
	return !(waiting && (depth.Waiting > 0 || depth.Running > 0)) && !(scheduled && depth.Scheduled > 0) && !(dead && depth.Dead > 0)
}
