package cron

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/internal/lifecycle"
)

// Why ticks are skipped, for [Event].Err with errors.Is.
var (
	// ErrLate: the ticks are further behind their time than [Missed] allows. If the last
	// try to store the first of them failed, its error is wrapped too.
	ErrLate = errors.New("cron: too late")
	// ErrSuperseded: later ticks are due, and [Missed] allows no more of them. The error of
	// the last try is wrapped too.
	ErrSuperseded = errors.New("cron: later ticks are due")
)

// errStoppedWithin says that a tick was stored long after it was decided to store it.
var errStoppedWithin = errors.New("cron: the process was stopped while it stored the tick, for longer than keys of other processes live")

// means are what the runners of a scheduler share.
type means[D batch.Driver] struct {
	config
	queue  *batch.Queue[D]
	once   once[D]
	teller *teller
}

// needed is for how long after a process first stored a tick another one may still try: the
// first may be early by the skew, and the last late by it.
func (m *means[D]) needed(missed Missed) time.Duration {
	return missed.within + 2*m.skew + callTimeout
}

// remembered is for how long the key of a tick is kept, where that is possible: for as long
// as others may try to store the tick, and until the one that follows is due. The last tick
// is then known as stored to a process that looks back further than this one, as it does
// after Missed was raised.
func (m *means[D]) remembered(missed Missed, when *Schedule, tick int64) time.Duration {
	kept := max(m.needed(missed), keyAtLeast)
	following, err := when.next(tick)
	if err != nil || following == never {
		return kept
	}
	gap := time.Duration(min(following-tick, int64(maxInterval/time.Second))) * time.Second
	return max(kept, gap+2*m.skew+callTimeout)
}

// runner stores the ticks of one schedule.
type runner[D batch.Driver] struct {
	*means[D]
	// entry is the newest form of the entry. Its ticks and its Missed never change.
	entry   atomic.Pointer[Entry[D]]
	pending *pending
	// last is why the oldest pending tick could not be stored.
	last error
	// quit ends the runner.
	quit context.CancelFunc
}

// run stores ticks until ctx ends. It returns an error only if the driver was closed.
func (r *runner[D]) run(ctx context.Context) error {
	defer r.leave()
	var asking, storing backoff
	for ctx.Err() == nil {
		next, err := r.look()
		switch {
		case err != nil:
			retryIn := asking.next()
			r.tellOf(Event{Kind: ScheduleFailed, When: r.pending.when.String(), Err: err, RetryIn: retryIn})
			_ = lifecycle.Sleep(ctx, retryIn)
			continue
		case len(r.pending.ticks) == 0 && next == never:
			<-ctx.Done()
			return nil
		case len(r.pending.ticks) == 0:
			r.nap(ctx, next)
			continue
		}
		asking = backoff{}
		if err := r.try(ctx, &storing); err != nil {
			return err
		}
	}
	return nil
}

// look takes in what is due by now, and returns the tick that comes after.
func (r *runner[D]) look() (next int64, err error) {
	now := r.clock.Now().Unix()
	if back := r.pending.setBack(now); back > 0 {
		r.last = nil
		r.tellOf(Event{Kind: ClockSetBack, When: r.pending.when.String(), Late: -back})
	}
	late, many, err := r.pending.advance(now)
	for _, left := range []struct {
		passed
		cause error
	}{{late, ErrLate}, {many, ErrSuperseded}} {
		if left.first == 0 {
			continue
		}
		if r.last != nil {
			left.cause = fmt.Errorf("%w: %w", left.cause, r.last)
		}
		r.tellSkipped(TickSkipped, left.passed, left.cause)
	}
	if late.first != 0 || many.first != 0 {
		r.last = nil // it was about the oldest of them
	}
	if err != nil {
		return 0, err
	}
	return r.pending.next()
}

// try tries to store the oldest tick that is due.
func (r *runner[D]) try(ctx context.Context, wait *backoff) error {
	tick := r.pending.when.time(r.pending.ticks[0])
	err := r.store(ctx, tick)
	switch {
	case err == nil:
		r.pending.done()
		r.last, *wait = nil, backoff{}
		return nil
	case isForeign(err): // whatever it wraps
	case errors.Is(err, batch.ErrClosed):
		return err
	case errors.Is(err, ErrLate):
		return nil // look tells of it
	case isFinal(err):
		r.pending.done()
		r.last, *wait = nil, backoff{}
		r.tellOf(Event{Kind: TickSkipped, Tick: tick, Until: tick, Err: err})
		return nil
	}
	r.last = err
	retryIn := wait.next()
	if !errors.Is(err, errHeld) && ctx.Err() == nil {
		r.tellOf(Event{Kind: TickRetried, Tick: tick, Until: tick, Err: err, RetryIn: retryIn})
	}
	_ = lifecycle.Sleep(ctx, retryIn)
	return nil
}

// store stores a tick, unless it is stored. After an error it may be stored or not, and
// may be tried again.
func (r *runner[D]) store(ctx context.Context, at time.Time) error {
	entry := r.entry.Load()
	tick := Tick{Queue: r.queue.Name(), Schedule: entry.Name, Time: at}
	args, err := entry.argsOf(tick)
	if err != nil {
		return err
	}
	if r.clock.Now().Unix()-at.Unix() > int64(entry.Missed.within/time.Second) {
		return ErrLate // Make took too long, or the process was stopped
	}
	lasting, cancel := outlive(ctx, stopGrace)
	defer cancel()
	stored, err := r.once.put(lasting, tick.Key(), r.remembered(entry.Missed, &r.pending.when, at.Unix()), func(ctx context.Context, more ...batch.Option[D]) (batch.Receipt, error) {
		return r.queue.Enqueue(ctx, args, append(r.optionsOf(entry, tick), more...)...)
	})
	late := r.clock.Now().Round(0).Sub(at)
	switch {
	case stored && err != nil:
		r.tellOf(Event{Kind: TickDoubtful, Tick: at, Until: at, Late: late, Err: err})
	case err != nil:
		return err
	case !stored:
		r.tellOf(Event{Kind: TickDuplicate, Tick: at, Until: at, Late: late})
	case late > entry.Missed.within+callTimeout:
		r.tellOf(Event{Kind: TickDoubtful, Tick: at, Until: at, Late: late, Err: errStoppedWithin})
	default:
		r.tellOf(Event{Kind: TickStored, Tick: at, Until: at, Late: late})
	}
	return nil
}

// optionsOf are the options of a tick's job, without those by which it is stored once.
func (m *means[D]) optionsOf(e *Entry[D], tick Tick) []batch.Option[D] {
	return append(slices.Clone(e.Options),
		batch.ID(m.queue, tick.Key()),
		batch.Header(m.queue, headerSchedule, tick.Schedule),
		batch.Header(m.queue, headerTick, tick.Time.Format(time.RFC3339)))
}

// argsOf are the args of a tick's job.
func (e *Entry[D]) argsOf(tick Tick) (args batch.Args, err error) {
	if e.Make == nil {
		return e.Args, nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = &foreignError{fmt.Errorf("cron: Make of schedule %s panicked: %v", e.Name, p)}
		}
	}()
	args, err = e.Make(tick)
	if err != nil {
		return nil, &foreignError{fmt.Errorf("cron: Make of schedule %s: %w", e.Name, err)}
	}
	if isNil(args) {
		return nil, &foreignError{fmt.Errorf("cron: Make of schedule %s returned no args", e.Name)}
	}
	return args, nil
}

// outlive is a context that ends so long after ctx.
func outlive(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		_ = lifecycle.Sleep(lasting, grace)
		cancel()
	})
	return lasting, func() {
		stop()
		cancel()
	}
}

// leave tells of the ticks that are due and were not stored, at the runner's end.
func (r *runner[D]) leave() {
	if _, err := r.look(); err != nil || len(r.pending.ticks) == 0 {
		return
	}
	ticks := r.pending.ticks
	r.tellSkipped(TickLeft, passed{ticks[0], ticks[len(ticks)-1]}, r.last)
}

// tellSkipped tells of several ticks.
func (r *runner[D]) tellSkipped(kind EventKind, p passed, err error) {
	when := r.pending.when
	r.tellOf(Event{Kind: kind, Tick: when.time(p.first), Until: when.time(p.last), Err: err})
}

// tellOf tells of an event of the schedule.
func (r *runner[D]) tellOf(e Event) {
	e.Schedule = r.entry.Load().Name
	r.teller.tell(e)
}
