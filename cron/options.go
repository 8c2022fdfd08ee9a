package cron

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/internal/lifecycle"
)

// Option configures a [Scheduler].
type Option struct{ apply func(*config) error }

// config is what the options set.
type config struct {
	missed   Missed
	skew     time.Duration
	poll     time.Duration
	claim    time.Duration // zero if it was not given
	clock    Clock
	log      *slog.Logger
	observer func(Event)
}

// newConfig has the defaults and applies the options.
func newConfig(options []Option) (config, error) {
	c := config{missed: defaultMissed, skew: time.Minute, poll: 10 * time.Second, clock: systemClock{}}
	for _, o := range options {
		if o.apply == nil {
			return c, &batch.InvalidError{Field: "option", Value: "the zero Option", Bound: "made by one of the option functions"}
		}
		if err := o.apply(&c); err != nil {
			return c, err
		}
	}
	if c.log == nil {
		c.log = slog.Default()
	}
	return c, nil
}

// WithMissed is the Missed of entries that have none. Defaults to Last(5 minutes).
func WithMissed(m Missed) Option {
	return Option{func(c *config) error {
		c.missed = m
		return m.check()
	}}
}

// WithMaxSkew is how far the clock of a process may be from the right time, in either
// direction: zero to an hour. Keys are remembered for that much longer. Ticks that
// processes store whose clocks are further apart than twice that may be stored twice.
// Defaults to a minute.
func WithMaxSkew(d time.Duration) Option {
	return duration("MaxSkew", d, 0, time.Hour, func(c *config) { c.skew = d })
}

// WithPoll is how often a [Source] is read: 100 ms to 24 hours. Defaults to 10 s.
func WithPoll(d time.Duration) Option {
	return duration("Poll", d, 100*time.Millisecond, 24*time.Hour, func(c *config) { c.poll = d })
}

// WithClaim is how long a process may take to store a tick, before others take its claim
// for that of a dead one: 1 s to an hour. One call to the broker gets half of it. After a
// process was killed in such a call its tick is stored so much later; the tick's Missed
// must allow for that. It is for [NewWithStore] alone; with [New] it is an error. Defaults
// to 30 s.
func WithClaim(d time.Duration) Option {
	return duration("Claim", d, time.Second, time.Hour, func(c *config) { c.claim = d })
}

// duration is an option that sets a duration within bounds.
func duration(name string, d, least, most time.Duration, set func(*config)) Option {
	return Option{func(c *config) error {
		if d < least || d > most {
			return &batch.InvalidError{Field: name, Value: d.String(), Bound: least.String() + " to " + most.String()}
		}
		set(c)
		return nil
	}}
}

// WithLog makes the scheduler write its lines to a logger. Defaults to slog.Default().
func WithLog(l *slog.Logger) Option {
	return Option{func(c *config) error {
		if l == nil {
			return &batch.InvalidError{Field: "log", Value: "nil", Bound: "a *slog.Logger"}
		}
		c.log = l
		return nil
	}}
}

// WithObserver makes the scheduler call a function for each [Event], from several
// goroutines at once. It must be fast. A panic of it is logged and goes no further.
func WithObserver(observe func(Event)) Option {
	return Option{func(c *config) error {
		if observe == nil {
			return &batch.InvalidError{Field: "observer", Value: "nil", Bound: "a function"}
		}
		c.observer = observe
		return nil
	}}
}

// Clock tells a scheduler the time, and wakes it. Its methods are called concurrently.
type Clock interface {
	// Now is the time.
	Now() time.Time
	// Sleep returns when d has passed by this clock, or ctx's error when that ends.
	Sleep(ctx context.Context, d time.Duration) error
}

// WithClock makes the scheduler wait for its ticks by another clock than the system's: for
// tests. Calls, retries of what failed and polls of a source go by the system's clock
// nevertheless.
func WithClock(clock Clock) Option {
	return Option{func(c *config) error {
		if clock == nil {
			return &batch.InvalidError{Field: "clock", Value: "nil", Bound: "a Clock"}
		}
		c.clock = clock
		return nil
	}}
}

// systemClock is the system's clock.
type systemClock struct{}

// Now implements Clock.
func (systemClock) Now() time.Time { return time.Now() }

// Sleep implements Clock.
func (systemClock) Sleep(ctx context.Context, d time.Duration) error { return lifecycle.Sleep(ctx, d) }

// longestNap is how long a scheduler sleeps at most before it looks at the clock again,
// which may have been set.
const longestNap = time.Minute

// nap sleeps until a moment, or for a part of that time.
func (c *config) nap(ctx context.Context, moment int64) {
	// Without its monotonic part: a clock that is set is to be followed.
	left := time.Unix(moment, 0).Sub(c.clock.Now().Round(0))
	if left > 0 {
		_ = c.clock.Sleep(ctx, min(left, longestNap))
	}
}

// backoff is the wait between tries of what failed: it doubles from 50 ms to 5 s, as that of
// package batch does. The randomness keeps the processes from arriving all at once.
type backoff struct{ failures int }

// next is how long to wait before the next try.
func (b *backoff) next() time.Duration {
	const base, limit = 50 * time.Millisecond, 5 * time.Second
	ceiling := min(base<<min(b.failures, 10), limit)
	b.failures++
	return ceiling/2 + rand.N(ceiling/2)
}

// foreignError is what went wrong in what the application gave: Make, or the store. What it
// wraps is about neither the tick nor the driver.
type foreignError struct{ error }

// Unwrap returns the error.
func (e *foreignError) Unwrap() error { return e.error }

// isForeign tells whether an error is the application's.
func isForeign(err error) bool {
	_, is := errors.AsType[*foreignError](err)
	return is
}

// isFinal tells whether a job will never be stored, however often it is tried.
func isFinal(err error) bool {
	return errors.Is(err, batch.ErrInvalid) || errors.Is(err, batch.ErrCapability) || errors.Is(err, batch.ErrTooLarge)
}
