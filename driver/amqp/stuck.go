package amqp

import (
	"context"
	"fmt"
	"time"

	"github.com/batch-go/batch/internal/lifecycle"
)

// An entry that is no job goes to the dead letters. That may fail: the broker is short
// of memory, or the dead letters are at the maximum length of a policy. Then the entry
// stays with its session, which tries again after a while. To give it back would bring
// it again at once, before all jobs, and to keep it must not cost the jobs their place
// in the prefetch: see renew.

const (
	// firstPause and lastPause are between the tries, each twice as long as the one
	// before. While the broker is short of memory there is none.
	firstPause = time.Second
	lastPause  = time.Minute
	// patience is how long one try waits for the broker.
	patience = 5 * time.Second
	// maxStuck bounds what a session holds beyond its prefetch. With so many entries
	// that can be kept nowhere a queue stands still until somebody makes room.
	maxStuck = 10_000
)

// bury moves an entry that is no job to the dead letters, as letter, or removes it
// without one.
func (s *session) bury(r *receipt, letter *publication) {
	if letter != nil {
		if failed, err := s.moveStuck([]stuckEntry{{r, letter}}); err != nil {
			s.keepStuck(failed, err)
		}
		return
	}
	_ = s.hand([]*receipt{r}, nil) // if it fails, the session is at its end
}

// moveStuck tries to move entries to the dead letters, and returns those that it could
// not move and why it could not move the first.
func (s *session) moveStuck(entries []stuckEntry) (failed []stuckEntry, err error) {
	ctx, cancel := context.WithTimeout(s.replacing, patience)
	defer cancel()
	items := make([]*publication, len(entries))
	for i, e := range entries {
		items[i] = &publication{queue: e.letter.queue, message: e.letter.message}
	}
	s.base.store(ctx, s.names, items)
	var acks []*receipt
	for i, item := range items {
		if item.err == nil {
			acks = append(acks, entries[i].receipt)
			continue
		}
		failed = append(failed, entries[i])
		if err == nil {
			err = item.err
		}
	}
	_ = s.hand(acks, nil) // if it fails, the session is at its end
	return failed, err
}

// keepStuck keeps an entry that could not be moved, for a task that tries again.
func (s *session) keepStuck(failed []stuckEntry, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.stuck = append(s.stuck, failed...)
	s.crowding += len(failed)
	if 2*s.crowding >= s.prefetch && len(s.stuck) <= maxStuck {
		s.crowding = 0
		s.tasks.Go(s.renew)
	}
	if !s.retrying && s.life.Err() == nil {
		s.retrying = true
		s.report(err)
		s.replacements.Go(s.retryStuck)
	}
}

// report has a Receive return err. s.mu must be held.
func (s *session) report(err error) {
	s.trouble = fmt.Errorf("an entry that is no job cannot be moved to the dead letters: %w", err)
	s.signal()
}

// takeTrouble is what a Receive is to report, once.
func (s *session) takeTrouble() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.trouble
	s.trouble = nil
	return err
}

// retryStuck tries again until nothing is stuck, or the consumer stops, which gives
// back what is left.
func (s *session) retryStuck() {
	ctx, cancel := s.within(s.replacing)
	defer cancel()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		if s.base.awaitFlow(ctx) {
			pause = firstPause
		}
		if lifecycle.Sleep(ctx, pause) != nil {
			return
		}
		s.mu.Lock()
		entries := s.stuck
		s.stuck = nil
		s.mu.Unlock()
		failed, err := s.moveStuck(entries)
		s.mu.Lock()
		s.stuck = append(failed, s.stuck...)
		if s.retrying = len(s.stuck) > 0; s.retrying && err != nil {
			s.report(err)
		}
		done := !s.retrying
		s.mu.Unlock()
		if done {
			return
		}
	}
}

// renew ends a subscription of which half the prefetch is stuck entries, so that the
// next Receive begins one that has all of it. What the old one brought stays here.
func (s *session) renew() {
	select {
	case s.subscribing <- struct{}{}:
		defer func() { <-s.subscribing }()
	case <-s.ended:
		return
	}
	s.mu.Lock()
	sub := s.current
	s.current = nil
	s.mu.Unlock()
	if sub != nil && s.cancelSubscription(sub) == nil {
		s.signal()
	}
}
