package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/depths"
)

// deadRedriveCommand puts dead letters back in the queue.
func (a *app) deadRedriveCommand() *cobra.Command {
	var s selection
	c := &cobra.Command{
		Use:   "redrive <queue> [id ...]",
		Short: "Put dead letters back in the queue",
		Long: `Put dead letters back in the queue: the ones with these IDs, those that the filters
match, or --all. Each runs again as if it had just been enqueued, with no attempts
spent. Mend the cause first.

Ctrl-C ends it: it says how many were redriven, and the others stay.`,
		Example: `  batch dead redrive emails 0199a2c4 0199a2c5
  batch dead redrive emails --kind email.welcome --error "connection refused"
  batch dead redrive emails --all`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeQueue(false),
		RunE: func(c *cobra.Command, args []string) error {
			if err := s.take(c, args[1:]); err != nil {
				return err
			}
			return a.onQueue(c.Context(), args[0], func(q *batch.QueueAdmin) error {
				letters := q.DeadLetters()
				return a.move(c.Context(), q, &s, moving{"redriving", "redriven", letters.Redrive, letters.RedriveAll, nil})
			})
		},
	}
	s.flags(c, "redrive all dead letters")
	return c
}

// deadPurgeCommand removes dead letters for good.
func (a *app) deadPurgeCommand() *cobra.Command {
	var s selection
	c := &cobra.Command{
		Use:   "purge <queue> [id ...]",
		Short: "Remove dead letters for good",
		Long: `Remove dead letters for good: the ones with these IDs, those that the filters match,
or --all. It asks before, unless you say --yes.

Ctrl-C ends it: it says how many were purged, and the others stay.`,
		Example: `  batch dead purge emails 0199a2c4
  batch dead purge emails --reason expired
  batch dead purge emails --all --yes`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeQueue(false),
		RunE: func(c *cobra.Command, args []string) error {
			if err := s.take(c, args[1:]); err != nil {
				return err
			}
			return a.onQueue(c.Context(), args[0], func(q *batch.QueueAdmin) error {
				letters := q.DeadLetters()
				ask := func(n int64) error {
					return a.confirm(c.Context(), "Purge %s of queue %s on %s? They are gone for good.", someLetters(n), q.Name(), product(q.Driver()))
				}
				return a.move(c.Context(), q, &s, moving{"purging", "purged", letters.Delete, letters.Purge, ask})
			})
		},
	}
	s.flags(c, "purge all dead letters")
	return a.destructive(c)
}

// someLetters is a number of dead letters in words.
func someLetters(n int64) string {
	switch {
	case n < 0:
		return "all dead letters"
	case n == 1:
		return "1 dead letter"
	}
	return number(int(n)).text + " dead letters"
}

// moving is what is done with dead letters.
type moving struct {
	doing, done string // as in "redriving" and "redriven"
	some        func(context.Context, ...string) (int, error)
	all         func(context.Context) (int, error)
	confirm     func(n int64) error // nil if it need not be asked
}

// move does it with the dead letters that are selected, and says how many there were,
// whatever ended it.
func (a *app) move(ctx context.Context, q *batch.QueueAdmin, s *selection, m moving) error {
	total, err := a.countLetters(ctx, q)
	if err != nil {
		return err
	}
	ids := s.ids
	if s.filtered() {
		a.warnOfCost(q.Driver())
		if ids, err = a.identify(ctx, q, s); err != nil {
			return err
		}
	}
	if !s.all {
		total = int64(len(ids))
	}
	if m.confirm != nil && (total != 0 || s.all) {
		asked := total
		if s.all && total == 0 {
			asked = batch.UnknownCount // some may come, or a count that is approximate may be wrong
		}
		if err := m.confirm(asked); err != nil {
			return err
		}
	}
	var n int
	if s.all {
		n, err = a.moveAll(ctx, q, m, total)
	} else {
		n, err = a.moveSome(ctx, q, m, ids)
	}
	// A request that was under way when it ended may have been carried out, and is not counted.
	exact := err == nil || driver.FateOf(err) == driver.FateNotStored
	if said := a.moved(q.Name(), m, n, total, exact); err == nil {
		err = said
	}
	if missing := len(s.ids) - n; err == nil && missing > 0 {
		err = notThere(q.Name(), missing, len(s.ids))
	}
	return err
}

// moved says how many dead letters were moved, of how many, and whether that is all there is to
// say of it.
func (a *app) moved(queue string, m moving, n int, total int64, exact bool) error {
	if a.json {
		return a.print(map[string]any{"queue": queue, m.done: n, "selected": depths.Known(total), "exact": exact})
	}
	some, more := someLetters(int64(n)), ""
	if total >= 0 && int64(n) < total {
		some = fmt.Sprintf("%d of %s", n, someLetters(total))
	}
	if !exact {
		more = ", and perhaps some that were under way when it ended"
	}
	return a.say("%s %s of queue %s%s", m.done, some, queue, more)
}

// countLetters is how many dead letters a queue has, or below zero if nobody knows.
func (a *app) countLetters(ctx context.Context, q *batch.QueueAdmin) (int64, error) {
	ctx, cancel := a.within(ctx)
	defer cancel()
	return q.DeadLetters().Count(ctx)
}

// moveAll moves all dead letters in one call, which ends with ctx, and counts what is left
// meanwhile. It has no other bound: there may be many.
func (a *app) moveAll(ctx context.Context, q *batch.QueueAdmin, m moving, total int64) (int, error) {
	bar := a.progress(m.doing, total)
	defer bar.stop()
	watching, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-time.After(time.Second):
			case <-watching.Done():
				return
			}
			if left, err := a.countLetters(watching, q); err == nil && left >= 0 {
				bar.set(total - left)
			}
		}
	}()
	n, err := m.all(ctx)
	stop()
	<-ended
	return n, err
}

// moveSome moves the dead letters with these IDs: a page at a time, or in one call where
// each call reads all of them.
func (a *app) moveSome(ctx context.Context, q *batch.QueueAdmin, m moving, ids []string) (int, error) {
	size := pageSize
	if costs[q.Driver().Info().Driver] != "" {
		size = max(len(ids), 1)
	}
	bar := a.progress(m.doing, int64(len(ids)))
	defer bar.stop()
	done := 0
	for len(ids) > 0 {
		page := ids[:min(size, len(ids))]
		n, err := m.some(ctx, page...)
		done += n
		if err != nil {
			return done, err
		}
		ids = ids[len(page):]
		bar.set(int64(done))
	}
	return done, nil
}
