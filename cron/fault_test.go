package cron_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/cron"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/idempotency"
)

// What a store cannot tell any more is told: a process that dies between job and mark is
// made up for by another one, under the same ID.
func TestStoreThatFails(t *testing.T) {
	inBubble(t, func(b *bench) {
		store := &forgetful{Store: idempotency.NewMemory(0)}
		s := cron.NewWithStore(b.q, store, cron.Fixed(b.entry("hour", "@hourly", cron.Last(time.Minute))), quietLog(), b.observe())
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		time.Sleep(time.Minute)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		b.want("tick retried hour 00:00, tick doubtful hour 00:00", cron.TickRetried, cron.TickDoubtful, cron.TickStored, cron.TickSkipped)
	})
}

// forgetful is a store that fails at first, and later does not take marks.
type forgetful struct {
	idempotency.Store
	begun int
}

// Begin implements idempotency.Store.
func (f *forgetful) Begin(ctx context.Context, key string, ttl time.Duration) (idempotency.Claim, idempotency.State, error) {
	if f.begun++; f.begun == 1 {
		return idempotency.Claim{}, 0, errors.New("not now")
	}
	return f.Store.Begin(ctx, key, ttl)
}

// Complete implements idempotency.Store.
func (f *forgetful) Complete(context.Context, idempotency.Claim, time.Duration) error {
	return errors.New("not now")
}

// A store that panics, or whose own connection is closed, ends neither the process nor the
// run: the tick is stored when it works again.
func TestStoreThatPanics(t *testing.T) {
	inBubble(t, func(b *bench) {
		store := &broken{Store: idempotency.NewMemory(0), faults: []func() error{
			func() error { panic("no store") },
			func() error { return fmt.Errorf("the store: %w", batch.ErrClosed) },
			func() error { return fmt.Errorf("the store: %w", batch.ErrInvalid) },
		}}
		s := cron.NewWithStore(b.q, store, cron.Fixed(b.entry("hour", "@hourly", cron.Last(time.Minute))), quietLog(), b.observe())
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		time.Sleep(time.Minute)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		b.want("tick retried hour 00:00, tick retried hour 00:00, tick retried hour 00:00, tick stored hour 00:00",
			cron.TickRetried, cron.TickDoubtful, cron.TickStored, cron.TickSkipped)
	})
}

// broken is a store that fails in some ways at first.
type broken struct {
	idempotency.Store
	faults []func() error
}

// Begin implements idempotency.Store.
func (s *broken) Begin(ctx context.Context, key string, ttl time.Duration) (idempotency.Claim, idempotency.State, error) {
	if len(s.faults) > 0 {
		fault := s.faults[0]
		s.faults = s.faults[1:]
		return idempotency.Claim{}, 0, fault()
	}
	return s.Store.Begin(ctx, key, ttl)
}

// A job that the entry's own unique key keeps out is not told as stored.
func TestDuplicateByTheEntrysKey(t *testing.T) {
	inBubble(t, func(b *bench) {
		e := b.entry("hour", "@hourly", cron.Last(time.Minute))
		e.Since = time.Now().Add(time.Second)
		e.Options = []batch.Option[*memory.Driver]{batch.Unique(b.q, "one-at-a-time")}
		s := cron.NewWithStore(b.q, idempotency.NewMemory(0), cron.Fixed(e), quietLog(), b.observe())
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		time.Sleep(2*time.Hour + time.Second)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		b.want("tick stored hour 01:00, tick duplicate hour 02:00", cron.TickStored, cron.TickDuplicate)
	})
}

// setClock is a clock that a test can set.
type setClock struct {
	skewed
	ahead atomic.Int64
}

// Now implements cron.Clock.
func (c *setClock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// A process that was stopped between its look at the clock and the broker's answer, for
// longer than keys live, says that the tick may be there twice.
func TestStoppedProcess(t *testing.T) {
	inBubble(t, func(b *bench) {
		clock := &setClock{}
		q := batch.NewQueue(b.d, "ticks", batch.WithEnqueueMiddleware(func(next batch.Enqueuer) batch.Enqueuer {
			return func(ctx context.Context, jobs []*batch.EnqueueJob) []batch.Result {
				clock.ahead.CompareAndSwap(0, int64(90*time.Minute)) // stopped here, and going on
				return next(ctx, jobs)
			}
		}))
		e := b.entry("hour", "@hourly", cron.Last(time.Minute))
		e.Since = time.Now().Add(time.Second)
		s := cron.New(q, cron.Fixed(e), quietLog(), b.observe(), cron.WithClock(clock))
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		time.Sleep(time.Hour + time.Second)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		b.want("tick doubtful hour 01:00, tick skipped hour 02:00-02:28", cron.TickStored, cron.TickDoubtful, cron.TickSkipped)
	})
}

// A clock that is set is followed: forward, by what Missed says, and back without a tick
// that comes again.
func TestClockThatIsSet(t *testing.T) {
	inBubble(t, func(b *bench) {
		clock := &setClock{}
		e := b.entry("hour", "@hourly", cron.All(3*time.Hour, 100))
		e.Since = time.Now().Add(time.Second)
		stop := b.run(cron.Fixed(e), cron.WithClock(clock))
		defer stop()
		b.after(time.Hour, "schedule started hour", "tick stored hour 01:00")
		clock.ahead.Add(int64(2 * time.Hour))
		b.after(time.Minute, "tick stored hour 02:00", "tick stored hour 03:00")
		clock.ahead.Add(int64(-3 * time.Hour))
		b.after(3*time.Hour+58*time.Minute, "clock set back hour")
		b.after(2*time.Minute, "tick stored hour 04:00")
		clock.ahead.Add(int64(-time.Hour))
		b.after(time.Hour + 57*time.Minute)
		b.after(2*time.Minute, "tick stored hour 05:00")
	})
}

// A clock that was wrong by years for a moment does not silence a schedule for years.
func TestClockThatWasWrong(t *testing.T) {
	inBubble(t, func(b *bench) {
		clock := &setClock{}
		stop := b.run(cron.Fixed(b.entry("hour", "@hourly", cron.Last(30*time.Minute))), cron.WithClock(clock))
		defer stop()
		b.after(10*time.Minute, "schedule started hour", "tick stored hour 00:00")
		clock.ahead.Store(int64(80 * 365 * 24 * time.Hour))
		b.after(2*time.Minute, "tick skipped hour 01:00-23:40", "tick stored hour 00:00")
		clock.ahead.Store(0)
		b.after(2*time.Minute, "clock set back hour")
		b.after(2*time.Hour, "tick stored hour 01:00", "tick stored hour 02:00")
	})
}

// A schedule that is yet to begin is none whose clock was set back, and begins when it is to,
// also after that.
func TestClockBeforeSince(t *testing.T) {
	inBubble(t, func(b *bench) {
		clock := &setClock{}
		e := b.entry("hour", "@hourly", cron.Last(time.Minute))
		e.Since = time.Now().Add(10 * time.Hour)
		stop := b.run(cron.Fixed(e), cron.WithClock(clock))
		defer stop()
		b.after(5*time.Hour, "schedule started hour")
		clock.ahead.Store(int64(20 * time.Hour))
		b.after(2*time.Minute, "tick skipped hour 10:00-00:59", "tick stored hour 01:00")
		clock.ahead.Store(0)
		b.after(2*time.Minute, "clock set back hour")
		b.after(4*time.Hour + 50*time.Minute)
		b.after(10*time.Minute, "tick stored hour 10:00")
	})
}

// What the application gives cannot stop the scheduler: neither an observer that panics nor
// a log.
func TestObserverAndLogThatPanic(t *testing.T) {
	inBubble(t, func(b *bench) {
		e := b.entry("minute", "* * * * *", cron.Skip(time.Second))
		e.Since = time.Now().Add(time.Second)
		s := cron.New(b.q, cron.Fixed(e), cron.WithLog(slog.New(panicking{slog.DiscardHandler})), cron.WithObserver(func(cron.Event) { panic("no") }))
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		time.Sleep(3*time.Minute + time.Second)
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if depth, err := b.q.Depth(b.Context()); err != nil || depth.Waiting != 3 {
			t.Errorf("the queue has %+v, %v, want three jobs", depth, err)
		}
	})
}

// panicking is a log that panics.
type panicking struct{ slog.Handler }

// Enabled implements slog.Handler.
func (panicking) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (panicking) Handle(context.Context, slog.Record) error { panic("no") }

// The log has a line for an outage each 30 s, and not one for each try.
func TestLogOfAnOutage(t *testing.T) {
	inBubble(t, func(b *bench) {
		var text strings.Builder
		e := b.entry("hour", "@hourly", cron.Last(time.Hour))
		s := cron.New(b.q, cron.Fixed(e), cron.WithLog(slog.New(slog.NewTextHandler(&text, nil))))
		b.setDown(errors.New("away"))
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		time.Sleep(2 * time.Minute)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		lines := strings.Count(text.String(), "will be retried")
		if lines < 3 || lines > 5 || !strings.Contains(text.String(), "repeated=") || !strings.Contains(text.String(), "error=away") {
			t.Errorf("%d lines about retries:\n%s", lines, &text)
		}
	})
}
