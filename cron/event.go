package cron

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// EventKind is what an [Event] is about.
type EventKind uint8

// The kinds of events.
const (
	// TickStored: this process has stored the tick's job. Logged at debug.
	TickStored EventKind = iota + 1
	// TickDuplicate: the tick's job was stored before, by another process in most cases.
	// Logged at debug.
	TickDuplicate
	// TickRetried: storing the tick's job failed with Err, and is tried again after
	// RetryIn. Logged at warn, at most every 30 s, as are ScheduleFailed and SourceFailed.
	TickRetried
	// TickSkipped: this process does not store the ticks from Tick until Until, or does
	// not try any longer, for the reason Err: [ErrLate], [ErrSuperseded] or what makes the
	// job impossible. Another process may have stored them. Logged at error.
	TickSkipped
	// TickLeft: the scheduler stops, or the schedule was removed or changed, before the
	// ticks from Tick until Until were stored. Another process stores them, or the next
	// that starts, as Missed says, if the schedule is still there; or this one, if only
	// Missed or Since has changed. Logged at warn.
	TickLeft
	// TickDoubtful: the tick's job is stored, and another process may store it again, as
	// Err says: the process was stopped for a long time in between, or the store does not
	// answer. Logged at error.
	TickDoubtful
	// ScheduleStarted, ScheduleChanged and ScheduleRemoved are about the source's list.
	// Logged at info.
	ScheduleStarted
	ScheduleChanged
	ScheduleRemoved
	// ScheduleRefused: an entry of the source is not valid, as Err says. Logged at error.
	ScheduleRefused
	// ScheduleFailed: the function of the schedule failed with Err; it is asked again
	// after RetryIn. Logged at error.
	ScheduleFailed
	// SourceFailed: the source could not be read, as Err says; it is read again after
	// RetryIn. Logged at warn.
	SourceFailed
	// ClockSetBack: this process's clock was set back by more than an hour, by -Late, so
	// what it showed before was wrong. The schedule goes on from now. Ticks that were stored
	// early come again, and are duplicates for as long as their keys are kept. Logged at
	// warn.
	ClockSetBack
)

// events has for each kind its name, the line of the log, and its level.
var events = [...]struct {
	name, line string
	level      slog.Level
}{
	TickStored:      {"tick stored", "cron tick stored", slog.LevelDebug},
	TickDuplicate:   {"tick duplicate", "cron tick was stored before", slog.LevelDebug},
	TickRetried:     {"tick retried", "cron tick could not be stored, will be retried", slog.LevelWarn},
	TickSkipped:     {"tick skipped", "cron ticks skipped", slog.LevelError},
	TickLeft:        {"tick left", "cron ticks left to other processes", slog.LevelWarn},
	TickDoubtful:    {"tick doubtful", "cron tick may be stored twice", slog.LevelError},
	ScheduleStarted: {"schedule started", "cron schedule started", slog.LevelInfo},
	ScheduleChanged: {"schedule changed", "cron schedule changed", slog.LevelInfo},
	ScheduleRemoved: {"schedule removed", "cron schedule removed", slog.LevelInfo},
	ScheduleRefused: {"schedule refused", "cron schedule refused", slog.LevelError},
	ScheduleFailed:  {"schedule failed", "cron schedule failed, will be asked again", slog.LevelError},
	SourceFailed:    {"source failed", "cron source could not be read, will be retried", slog.LevelWarn},
	ClockSetBack:    {"clock set back", "cron clock was set back, and its schedule goes on from now", slog.LevelWarn},
}

// String is the kind in lower case.
func (k EventKind) String() string {
	if int(k) < len(events) && events[k].name != "" {
		return events[k].name
	}
	return "invalid"
}

// Event is something that a scheduler did, for metrics and tests.
type Event struct {
	Kind EventKind
	// Schedule is the name of the entry, empty where it is about the source.
	Schedule string
	// When is the schedule as text, for events about schedules.
	When string
	// Tick is the tick, or the first of several, and Until the end of them: equal to Tick
	// for one. Both are zero where it is about no tick.
	Tick, Until time.Time
	// Late is how far behind its time the tick was stored, by this process's clock. A tick
	// that is early has a negative one, and so has ClockSetBack.
	Late time.Duration
	// RetryIn is the wait before the next try.
	RetryIn time.Duration
	// Err is why.
	Err error
}

// teller tells the observer and the log of events.
type teller struct {
	queue    string
	log      *slog.Logger
	observer func(Event) // nil for none

	mu sync.Mutex // guards following
	// repeated has for each kind of failure that is tried again when its line was written.
	repeated map[EventKind]repeated
}

// repeated is a line of the log that is not written each time.
type repeated struct {
	last  time.Time // when it was written
	since int       // how often it was not, since then
}

// repeatAfter is how long what is still the case is not logged again.
const repeatAfter = 30 * time.Second

// tell tells of an event. Neither the observer nor the log can stop the scheduler.
func (t *teller) tell(e Event) {
	t.shield("the observer", func() {
		if t.observer != nil {
			t.observer(e)
		}
	})
	kind := events[e.Kind]
	attrs := []slog.Attr{slog.String("queue", t.queue)}
	if e.RetryIn != 0 {
		write, since := t.repeats(e.Kind)
		if !write {
			return
		}
		if since > 0 {
			attrs = append(attrs, slog.Int("repeated", since))
		}
	}
	t.shield("the log", func() {
		t.log.LogAttrs(context.Background(), kind.level, kind.line, append(attrs, e.attrs()...)...)
	})
}

// attrs are what the log says of an event.
func (e *Event) attrs() []slog.Attr {
	var attrs []slog.Attr
	if e.Schedule != "" {
		attrs = append(attrs, slog.String("schedule", e.Schedule))
	}
	if e.When != "" {
		attrs = append(attrs, slog.String("when", e.When))
	}
	if !e.Tick.IsZero() {
		attrs = append(attrs, slog.Time("tick", e.Tick))
	}
	if !e.Until.Equal(e.Tick) {
		attrs = append(attrs, slog.Time("until", e.Until))
	}
	if e.Late != 0 {
		attrs = append(attrs, slog.Duration("late", e.Late))
	}
	if e.RetryIn != 0 {
		attrs = append(attrs, slog.Duration("retry_in", e.RetryIn))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("error", e.Err.Error()))
	}
	return attrs
}

// repeats tells whether a line is to be written about what failed again, and how many were
// not since the one before.
func (t *teller) repeats(kind EventKind) (write bool, since int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	r, again := t.repeated[kind]
	if again && now.Sub(r.last) < repeatAfter {
		r.since++
		t.repeated[kind] = r
		return false, 0
	}
	t.repeated[kind] = repeated{last: now}
	return true, r.since
}

// shield calls what the application gave, and logs a panic of it, if that is possible.
func (t *teller) shield(what string, call func()) {
	defer func() {
		if r := recover(); r != nil {
			defer func() { _ = recover() }() // of the log
			t.log.Error("cron: "+what+" panicked", slog.String("panic", fmt.Sprint(r)))
		}
	}()
	call()
}
