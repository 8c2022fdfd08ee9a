package move

import (
	"context"
	"errors"
	"time"

	"github.com/batch-go/batch"
)

// shelves moves what is not handed out, dead letters and scheduled jobs, until ctx ends.
func (m *mover) shelves(ctx context.Context) error {
	wait := patience{config: &m.config}
	letters, shelf := &letters{mover: m}, &shelf{mover: m}
	idle := shelfRest
	for ctx.Err() == nil {
		start := time.Now()
		moved := 0
		depth, err := m.source.Depth(ctx)
		if err == nil && m.states[batch.StateDead] && depth.Dead != 0 {
			moved, err = letters.pass(ctx)
		}
		early := depth.Waiting < fewWaiting || !m.states[batch.StateWaiting]
		if err == nil && m.states[batch.StateScheduled] && m.source.CanInspect() && depth.Scheduled != 0 && early {
			var n int
			n, err = shelf.pass(ctx)
			moved += n
		}
		switch {
		case ctx.Err() != nil:
			return nil // for which the move ends anyway, unless a job was refused
		case err != nil:
			var refused *RefusedError
			if errors.As(err, &refused) || errors.Is(err, errMore) || errors.Is(err, errCircle) {
				return err
			}
			if err := wait.await(ctx, err); err != nil && ctx.Err() == nil {
				return err
			}
			continue
		case moved == 0:
			if !shelf.pending {
				m.tally.nothing("shelves", start)
			}
			idle = min(2*idle, longRest)
		default:
			idle = shelfRest
		}
		wait.well()
		_ = pause(ctx, idle) // the loop sees why
	}
	return nil
}
