package cron_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/cron"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/idempotency"
)

// bench is a memory broker with a queue whose enqueues a test can make fail, and a record
// of what the schedulers tell.
type bench struct {
	*testing.T
	d *memory.Driver
	q *batch.Queue[*memory.Driver]

	mu     sync.Mutex
	down   error // what enqueues fail with
	events []cron.Event
}

// inBubble calls test in a bubble, at midnight of 1 January 2000 in UTC.
func inBubble(t *testing.T, test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{T: t, d: memory.New()}
		b.q = batch.NewQueue(b.d, "ticks", batch.WithEnqueueMiddleware(func(next batch.Enqueuer) batch.Enqueuer {
			return func(ctx context.Context, jobs []*batch.EnqueueJob) []batch.Result {
				b.mu.Lock()
				err := b.down
				b.mu.Unlock()
				if err != nil {
					return []batch.Result{{Err: err}}
				}
				return next(ctx, jobs)
			}
		}))
		test(b)
		if err := b.d.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

// setDown makes enqueues fail, or work again.
func (b *bench) setDown(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = err
}

// observe records events.
func (b *bench) observe() cron.Option {
	return cron.WithObserver(func(e cron.Event) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.events = append(b.events, e)
	})
}

// told are the events of some kinds, as text, in their order. They are forgotten then.
func (b *bench) told(kinds ...cron.EventKind) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var texts []string
	for _, e := range b.events {
		if !slices.Contains(kinds, e.Kind) {
			continue
		}
		text := e.Kind.String()
		if e.Schedule != "" {
			text += " " + e.Schedule
		}
		if !e.Tick.IsZero() {
			text += e.Tick.Format(" 15:04")
		}
		if !e.Until.Equal(e.Tick) {
			text += e.Until.Format("-15:04")
		}
		texts = append(texts, text)
	}
	b.events = nil
	return strings.Join(texts, ", ")
}

// want fails the test unless what was told is what is wanted.
func (b *bench) want(want string, kinds ...cron.EventKind) {
	b.Helper()
	if got := b.told(kinds...); got != want {
		b.Errorf("told: %s\nwant: %s", got, want)
	}
}

// entry is one with a job.
func (b *bench) entry(name, when string, missed cron.Missed) cron.Entry[*memory.Driver] {
	return cron.Entry[*memory.Driver]{Name: name, When: cron.Expr(when), Args: tickArgs{name}, Missed: missed}
}

// run runs a scheduler, and returns what stops it.
func (b *bench) run(source cron.Source[*memory.Driver], options ...cron.Option) (stop func()) {
	b.Helper()
	s := cron.New(b.q, source, append(options, quietLog(), b.observe())...)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	synctest.Wait()
	return func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}

// The ticks of an outage are stored as Missed says, and those that are not are told.
func TestOutage(t *testing.T) {
	for name, test := range map[string]struct {
		missed cron.Missed
		stored int // how many of the ticks until 00:07
	}{
		"skip":     {cron.Skip(90 * time.Second), 3},
		"last":     {cron.Last(time.Hour), 2},
		"last few": {cron.All(time.Hour, 2), 3},
		"all":      {cron.All(time.Hour, 100), 6},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				stop := b.run(cron.Fixed(b.entry("minute", "* * * * *", test.missed)))
				time.Sleep(61 * time.Second)
				b.told()
				b.setDown(errors.New("the broker is away"))
				time.Sleep(5*time.Minute + 14*time.Second)
				b.setDown(nil)
				time.Sleep(time.Minute)
				stop()
				if !strings.Contains(fmt.Sprint(b.events), "the broker is away") {
					t.Error("no event says why")
				}
				var want []string
				for minute := 2; minute <= 7; minute++ {
					what := "stored"
					if minute <= 7-test.stored {
						what = "skipped"
					}
					want = append(want, fmt.Sprintf("tick %s minute 00:%02d", what, minute))
				}
				b.want(strings.Join(want, ", "), cron.TickSkipped, cron.TickStored, cron.TickDuplicate)
			})
		})
	}
}

// After a time in which no process ran, ticks are stored as Missed says. Those that were
// stored before are not stored again, and those from before Since are none.
func TestStart(t *testing.T) {
	for name, test := range map[string]struct {
		missed cron.Missed
		since  time.Duration // after midnight
		want   string
	}{
		"skip":  {cron.Skip(time.Second), 0, ""},
		"last":  {cron.Last(time.Hour), 0, "tick stored minute 00:10"},
		"all":   {cron.All(5*time.Minute, 100), 0, "tick stored minute 00:06, tick stored minute 00:07, tick stored minute 00:08, tick stored minute 00:09, tick stored minute 00:10"},
		"most":  {cron.All(time.Hour, 2), 0, "tick stored minute 00:09, tick stored minute 00:10"},
		"more":  {cron.All(9*time.Minute, 100), 9 * time.Minute, "tick stored minute 00:09, tick stored minute 00:10"},
		"known": {cron.All(time.Hour, 100), time.Minute, "tick duplicate minute 00:01, tick duplicate minute 00:02, tick stored minute 00:03, tick stored minute 00:04, tick stored minute 00:05, tick stored minute 00:06, tick stored minute 00:07, tick stored minute 00:08, tick stored minute 00:09, tick stored minute 00:10"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				e := b.entry("minute", "* * * * *", test.missed)
				midnight := time.Now()
				e.Since = midnight.Add(test.since)
				stop := b.run(cron.Fixed(e))
				time.Sleep(2*time.Minute + time.Second)
				stop()
				b.told()
				time.Sleep(8*time.Minute + 20*time.Second)
				stop = b.run(cron.Fixed(e))
				stop()
				b.want(test.want, cron.TickSkipped, cron.TickStored, cron.TickDuplicate, cron.TickLeft)
			})
		})
	}
}

// A scheduler that stops says which ticks it leaves to others.
func TestStopTells(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.setDown(errors.New("the broker is away"))
		stop := b.run(cron.Fixed(b.entry("minute", "* * * * *", cron.All(time.Hour, 10))))
		time.Sleep(3*time.Minute + time.Second)
		start := time.Now()
		stop()
		if took := time.Since(start); took != 0 {
			t.Errorf("it took %s to stop", took)
		}
		b.want("tick left minute 23:54-00:03", cron.TickLeft) // the last ten
	})
}

// A job that can never be stored is given up, and the schedule goes on. One that cannot be
// made is tried again.
func TestJobsThatFail(t *testing.T) {
	inBubble(t, func(b *bench) {
		calls := 0
		e := b.entry("minute", "* * * * *", cron.Last(30*time.Second))
		e.Since = time.Now().Add(time.Second)
		e.Args, e.Make = nil, func(tick cron.Tick) (batch.Args, error) {
			calls++
			switch tick.Time.Minute() {
			case 1:
				return tickArgs{strings.Repeat("x", 65<<20)}, nil // too large
			case 2:
				panic("no luck")
			case 3:
				return nil, nil
			case 4:
				if calls%3 != 0 {
					return nil, errors.New("not yet")
				}
			}
			return tickArgs{"x"}, nil
		}
		stop := b.run(cron.Fixed(e))
		time.Sleep(5*time.Minute + time.Second)
		stop()
		b.want("tick skipped minute 00:01, tick skipped minute 00:02, tick skipped minute 00:03, tick stored minute 00:04, tick stored minute 00:05",
			cron.TickSkipped, cron.TickStored)
	})
}

// What the error of Make wraps is the application's, and about neither the tick nor the
// driver: it is tried again, after a while.
func TestErrorsOfMake(t *testing.T) {
	for _, wrapped := range []error{batch.ErrClosed, batch.ErrInvalid, cron.ErrLate, cron.ErrSuperseded} {
		inBubble(t, func(b *bench) {
			calls := 0
			e := b.entry("minute", "* * * * *", cron.Last(30*time.Second))
			e.Since = time.Now().Add(time.Second)
			e.Args, e.Make = nil, func(cron.Tick) (batch.Args, error) {
				if calls++; calls < 5 {
					return nil, fmt.Errorf("another driver: %w", wrapped)
				}
				return tickArgs{"x"}, nil
			}
			begin := time.Now()
			stop := b.run(cron.Fixed(e))
			time.Sleep(90 * time.Second)
			stop()
			if len(b.events) != 6 || !errors.Is(b.events[1].Err, wrapped) || b.events[5].Late <= 0 {
				t.Errorf("with %q, after %s, told: %+v", wrapped, time.Since(begin), b.events)
			}
			b.want("tick retried minute 00:01, tick retried minute 00:01, tick retried minute 00:01, tick retried minute 00:01, tick stored minute 00:01",
				cron.TickRetried, cron.TickSkipped, cron.TickStored, cron.TickLeft)
		})
	}
}

// A process that looks back further than the one before it finds the last tick stored.
func TestMissedThatIsRaised(t *testing.T) {
	inBubble(t, func(b *bench) {
		e := b.entry("daily", "@daily", cron.Last(5*time.Minute))
		stop := b.run(cron.Fixed(e))
		time.Sleep(20 * time.Hour)
		stop()
		e.Missed = cron.Last(23 * time.Hour)
		b.run(cron.Fixed(e))()
		b.want("tick stored daily 00:00, tick duplicate daily 00:00", cron.TickStored, cron.TickDuplicate)
	})
	inBubble(t, func(b *bench) {
		store := idempotency.NewMemory(0)
		e := b.entry("monthly", "@monthly", cron.Last(5*time.Minute))
		for _, missed := range []cron.Missed{e.Missed, cron.Last(366 * 24 * time.Hour)} {
			e.Missed = missed
			s := cron.NewWithStore(b.q, store, cron.Fixed(e), quietLog(), b.observe())
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error)
			go func() { done <- s.Run(ctx) }()
			time.Sleep(15 * 24 * time.Hour)
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		b.want("tick stored monthly 00:00, tick duplicate monthly 00:00", cron.TickStored, cron.TickDuplicate)
	})
}

// A function that misbehaves is told of, and asked again.
func TestScheduleThatFails(t *testing.T) {
	inBubble(t, func(b *bench) {
		broken := true
		begin := time.Now()
		e := b.entry("function", "* * * * *", cron.Last(time.Minute))
		e.When = cron.Func("f", func(after time.Time) time.Time {
			if time.Since(begin) < 10*time.Second {
				return after
			}
			broken = false
			return after.Truncate(time.Minute).Add(time.Minute)
		})
		stop := b.run(cron.Fixed(e))
		time.Sleep(time.Minute + time.Second)
		stop()
		if told := b.told(cron.ScheduleFailed, cron.TickStored); !strings.HasPrefix(told, "schedule failed function, ") || !strings.HasSuffix(told, "tick stored function 00:01") || broken {
			t.Errorf("told: %s", told)
		}
	})
}

// Two runs of one scheduler exclude each other; a closed driver ends a run.
func TestRun(t *testing.T) {
	inBubble(t, func(b *bench) {
		s := cron.New(b.q, cron.Fixed(b.entry("minute", "* * * * *", cron.Missed{})), quietLog())
		done := make(chan error)
		go func() { done <- s.Run(b.Context()) }()
		synctest.Wait()
		if err := s.Run(b.Context()); !errors.Is(err, cron.ErrRunning) {
			t.Errorf("a second run: %v", err)
		}
		if err := b.d.Close(b.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, batch.ErrClosed) {
			t.Errorf("the run on a closed driver: %v", err)
		}
		if err := s.Run(b.Context()); !errors.Is(err, batch.ErrClosed) {
			t.Errorf("a later run: %v", err)
		}
	})
}
