package move

import (
	"context"
	"errors"
	"sync"

	"github.com/batch-go/batch"
)

// Run moves the jobs of a queue from one broker to another: waiting and scheduled jobs and
// dead letters, while producers and workers of both go on. The package comment says how, and
// what is promised. The queue must exist on the source; on the target it is declared. Both
// handles must stay open until Run has returned, and must not be two on the same queue.
//
// It returns when the source is empty and nothing runs there ([Quiet]), or with [Follow] when ctx
// ends: with nil, and how much was moved. Else the error says why it ended: a [*RefusedError] for a
// job that the target cannot keep, the error of a broker that failed for too long ([Patience]),
// one that wraps [batch.ErrInvalid] for a wrong argument, before anything is sent, or ctx's. Whatever
// ended it, every job is on the source, on the target, or on both: then it was counted as
// [Progress].Doubled. To go on, run it again.
//
// When ctx ends, the batches that are under way are finished, for ten seconds at most.
func Run(ctx context.Context, from batch.Driver, to batch.Importer, queue string, options ...Option) (Progress, error) {
	c, err := newConfig(queue, options)
	if err != nil {
		return Progress{}, err
	}
	m, err := newMover(c, from, to)
	if err != nil {
		return Progress{}, err
	}
	if err := m.ready(ctx); err != nil {
		return m.tally.look(m.depth(ctx)), err
	}
	if err := m.apart(ctx); err != nil {
		return m.tally.look(m.depth(ctx)), err
	}
	return m.run(ctx)
}

// run moves until the end.
func (m *mover) run(ctx context.Context) (Progress, error) {
	work, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	finishing, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	m.finishing = finishing
	defer context.AfterFunc(work, func() {
		_ = pause(finishing, grace)
		cut()
	})()
	var loops sync.WaitGroup
	loop := func(run func(context.Context) error) {
		loops.Go(func() {
			if err := run(work); err != nil {
				stop(err)
			}
		})
	}
	if m.states[batch.StateWaiting] {
		hands := m.concurrency
		if m.selective() {
			hands = 1
		}
		for range hands {
			loop(func(ctx context.Context) error {
				h, err := m.newHand(ctx)
				if err != nil {
					return err
				}
				return h.run(ctx)
			})
		}
	}
	loop(m.shelves)
	loop(m.watch)
	loops.Wait()
	cause := context.Cause(work)
	if errors.Is(cause, errEmpty) || m.follow && ctx.Err() != nil && cause == context.Cause(ctx) {
		cause = nil
	}
	last := m.tally.look(m.depth(context.WithoutCancel(ctx)))
	m.progress(last)
	return last, cause
}
