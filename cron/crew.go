package cron

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/batch-go/batch"
)

// crew is the runners of a scheduler that runs.
type crew[D batch.Driver] struct {
	*means[D]
	source  Source[D]
	runners map[string]*runner[D]
	// refused has for each name what was wrong with entries that were refused the last time.
	refused map[string][]string
	stop    context.CancelCauseFunc
	all     sync.WaitGroup
}

// follow reads the source until ctx ends, and keeps a runner for each of its entries.
func (c *crew[D]) follow(ctx context.Context) {
	changed := changesOf(c.source)
	var wait backoff
	first := true
	for ctx.Err() == nil {
		entries, err := read(ctx, c.source)
		next := c.poll
		switch _, isFixed := c.source.(fixed[D]); {
		case ctx.Err() != nil:
			return
		case err != nil:
			next = min(wait.next(), c.poll)
			c.teller.tell(Event{Kind: SourceFailed, Err: err, RetryIn: next})
		default:
			wait = backoff{}
			c.apply(ctx, entries, first)
			first = false
			if isFixed {
				<-ctx.Done()
				return
			}
		}
		changed = pause(ctx, next, changed)
	}
}

// pause waits for so long, or until something has changed. It returns the channel, or nil
// if that is closed.
func pause(ctx context.Context, d time.Duration, changed <-chan struct{}) <-chan struct{} {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
		case <-timer.C:
		case _, ok := <-changed:
			if !ok {
				changed = nil
				continue
			}
		}
		return changed
	}
}

// apply makes the runners those of the entries. Only the entries of the first list may have
// been there while no process ran.
func (c *crew[D]) apply(ctx context.Context, entries []Entry[D], first bool) {
	valid, refused := c.sound(entries)
	before := c.refused
	c.refused = make(map[string][]string)
	for _, r := range refused {
		text := r.err.Error()
		c.refused[r.name] = append(c.refused[r.name], text)
		if !slices.Contains(before[r.name], text) {
			c.teller.tell(Event{Kind: ScheduleRefused, Schedule: r.name[:min(len(r.name), maxName)], Err: r.err})
		}
	}
	for name, r := range c.runners {
		if _, stays := c.refused[name]; valid[name] == nil && !stays {
			r.quit()
			delete(c.runners, name)
			c.teller.tell(Event{Kind: ScheduleRemoved, Schedule: name, When: r.pending.when.String()})
		}
	}
	for name, entry := range valid {
		old := c.runners[name]
		kind := ScheduleStarted
		var lookBack time.Duration
		switch {
		case old == nil && first:
			lookBack = entry.Missed.within
		case old == nil:
		case old.entry.Load().sameTicks(entry):
			if before := old.entry.Swap(entry); !before.sameJob(entry) {
				c.teller.tell(Event{Kind: ScheduleChanged, Schedule: name, When: entry.When.String()})
			}
			continue
		default:
			kind = ScheduleChanged
			if was := old.entry.Load(); was.When.same(&entry.When) {
				// Its ticks are still pending. Those of before have keys that last so long.
				lookBack = min(was.Missed.within, entry.Missed.within)
			}
			old.quit()
		}
		c.teller.tell(Event{Kind: kind, Schedule: name, When: entry.When.String()})
		c.start(ctx, entry, lookBack)
	}
}

// start starts the runner of an entry, with the ticks of the time before.
func (c *crew[D]) start(ctx context.Context, entry *Entry[D], lookBack time.Duration) {
	ctx, quit := context.WithCancel(ctx)
	now := c.clock.Now()
	r := &runner[D]{means: c.means, pending: newPending(entry.When, entry.Missed, now.Add(-lookBack), entry.Since, now), quit: quit}
	r.entry.Store(entry)
	c.runners[entry.Name] = r
	c.all.Go(func() {
		defer quit()
		if err := r.run(ctx); err != nil {
			c.stop(err)
		}
	})
}

// sound sorts the entries of a list into those that are valid, by name, and the refused.
func (m *means[D]) sound(entries []Entry[D]) (valid map[string]*Entry[D], refused []refusal) {
	valid = make(map[string]*Entry[D], len(entries))
	for i := range entries {
		e := entries[i] // a copy, which the source cannot change
		e.Options = slices.Clone(e.Options)
		if e.Missed == (Missed{}) {
			e.Missed = m.missed
		}
		err := e.check()
		if err == nil {
			err = m.once.check(&e, m.needed(e.Missed))
		}
		if err == nil && valid[e.Name] != nil {
			err = &batch.InvalidError{Field: "name of a schedule", Value: shorten(e.Name), Bound: "the only one of the name"}
		}
		if err != nil {
			refused = append(refused, refusal{e.Name, err})
			continue
		}
		valid[e.Name] = &e
	}
	return valid, refused
}

// refusal says why an entry is not used.
type refusal struct {
	name string
	err  error
}
