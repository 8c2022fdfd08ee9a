package move

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// grace is how long what is under way may take after the end of ctx: to store a batch and to
// remove it from the source, so that a stop doubles nothing.
const grace = 10 * time.Second

// errEmpty ends a move: there is nothing left.
var errEmpty = errors.New("the source is empty")

// depthTimeout bounds one question how much the source has.
const depthTimeout = 10 * time.Second

// errSelf refuses to move a queue to itself.
var errSelf = invalid("target", "the source itself", "another queue or another broker")

// mover moves one queue.
type mover struct {
	config
	from   batch.Driver
	source *batch.QueueAdmin
	target *target
	kept   *batch.QueueAdmin // the queue of the target
	alike  bool              // both may be one queue
	tally  *tally
	// forgetter is the source if it remembers what it has imported, else nil.
	forgetter driver.OnceImporter
	circle    circle
	// finishing ends some time after the move has to.
	finishing context.Context
}

// newMover checks the arguments. It does not talk to the brokers.
func newMover(c config, from batch.Driver, to batch.Importer) (*mover, error) {
	source, err := batch.Admin(from, c.queue)
	if err != nil {
		return nil, err
	}
	kept, err := batch.Admin(to, c.to)
	if err != nil {
		return nil, err
	}
	if from == batch.Driver(to) && c.queue == c.to {
		return nil, errSelf
	}
	m := &mover{config: c, from: from, source: source, kept: kept, alike: c.queue == c.to && from.Info().Broker == to.Info().Broker, tally: newTally(c.queue, c.to)}
	if m.target, err = newTarget(&m.config, to); err != nil {
		return nil, err
	}
	m.forgetter, _ = from.(driver.OnceImporter)
	return m, nil
}

// ready looks whether both queues can be used, and declares that of the target.
func (m *mover) ready(ctx context.Context) error {
	wait := patience{config: &m.config}
	for {
		err := m.look(ctx)
		if err == nil {
			return nil
		}
		if err := wait.await(ctx, err); err != nil {
			return err
		}
	}
}

// look is ready once.
func (m *mover) look(ctx context.Context) error {
	if _, err := m.source.Depth(ctx); err != nil {
		return err
	}
	if m.source.CanPause() && m.states[batch.StateWaiting] {
		paused, err := m.source.Paused(ctx)
		if err != nil {
			return err
		}
		if paused {
			return invalid("queue "+m.queue, "on the source, which is paused", "resumed: a paused queue hands its jobs to nobody, the mover included")
		}
	}
	return m.target.queue.Declare(ctx)
}

// depth is what the source has, or unknown.
func (m *mover) depth(ctx context.Context) batch.Depth {
	ctx, cancel := context.WithTimeout(ctx, depthTimeout)
	defer cancel()
	depth, err := m.source.Depth(ctx)
	if err != nil {
		return unknownDepth
	}
	return depth
}

// forget makes the source forget that it had imported jobs which leave it now.
func (m *mover) forget(ctx context.Context, parcels []*parcel, most time.Duration) error {
	if m.forgetter == nil || len(parcels) == 0 {
		return nil
	}
	wait := patience{config: &m.config}
	keys := make([]string, 0, 2*len(parcels)) // it may have died or been redriven since it came
	for _, p := range parcels {
		keys = append(keys, importKey(&p.entry, false), importKey(&p.entry, true))
	}
	for {
		call, cancel := context.WithTimeout(ctx, most)
		err := m.forgetter.ForgetImports(call, m.queue, keys)
		cancel()
		if err == nil {
			return nil
		}
		if err := wait.await(ctx, err); err != nil {
			return err
		}
	}
}

// double counts a job that may be on both sides.
func (m *mover) double(p *parcel, err error) {
	m.tally.change(func(c *Progress) { c.Doubled++ })
	m.fault(fmt.Errorf("move: the job %s is stored on queue %s, and may be on the source too: %w", quote(p.entry.ID), m.to, err))
}

// doubt is double for a job that stays although a try to store it may have been carried out.
func (m *mover) doubt(p *parcel, err error) {
	if p.doubtful {
		m.double(p, err)
	}
}

// refuse counts a job that is left because the target cannot keep it.
func (m *mover) refuse(p *parcel) {
	m.tally.change(func(c *Progress) { c.Refused++ })
	m.fault(p.refused)
}
