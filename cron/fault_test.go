package cron_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/cron"
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
		b.after(3*time.Hour + 58*time.Minute)
		b.after(2*time.Minute, "tick stored hour 04:00")
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
