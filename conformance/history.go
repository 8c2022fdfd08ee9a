package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
)

// Op is what happened to a job.
type Op uint8

const (
	// Enqueueing: a producer is about to enqueue the job.
	Enqueueing Op = iota + 1
	// Enqueued: the broker promised to keep it.
	Enqueued
	// Started: a handler begins, or a consumer received the job.
	Started
	// Done: it succeeded. This and the three that follow end what Started began;
	// they are recorded before the broker is told.
	Done
	// Failed: it failed and is to be retried.
	Failed
	// Returned: it is to come back without having failed: released or snoozed.
	Returned
	// Died: it is to become a dead letter.
	Died
	// Lost: its lease was lost.
	Lost
	// Noted: something else, see Event.Note.
	Noted
	// Refused: its enqueue ended with the word that it is certainly not stored.
	Refused
	// Doubtful: its enqueue ended with the word that it may be stored.
	Doubtful
	// Duplicate: its enqueue ended with the word that its key is taken.
	Duplicate
	// Disturbed: a fault begins. It is one of the Worker's, or of all if that is empty.
	Disturbed
	// Mended: that fault is over.
	Mended
)

var opNames = [...]string{
	"?", "enqueueing", "enqueued", "started", "done", "failed", "returned", "died", "lost", "noted",
	"refused", "doubtful", "duplicate", "disturbed", "mended",
}

// String is the name in lower case.
func (o Op) String() string {
	if int(o) < len(opNames) {
		return opNames[o]
	}
	return opNames[0]
}

// ends tells whether the op ends what Started began.
func (o Op) ends() bool { return o >= Done && o <= Died }

// Event is one entry of a [History].
type Event struct {
	// At is when, since the history began, by the monotonic clock.
	At time.Duration
	// Op is what happened to the job ID, by the Worker.
	Op     Op
	ID     string
	Worker string
	// Attempt and Deliveries are the job's, when Started.
	Attempt, Deliveries int
	// Level, Group and Key are the job's.
	Level      driver.Level
	Group, Key string
	// Delay is how long the job is to be held back from this event on: when
	// Enqueueing, by its own delay, and when Failed, until its retry.
	Delay time.Duration
	// Note is for people.
	Note string
}

// String is one line.
func (e Event) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%10.4fs %-10s %s", e.At.Seconds(), e.Op, e.ID)
	if e.Worker != "" {
		fmt.Fprintf(&b, " by %s", e.Worker)
	}
	if e.Attempt > 0 {
		fmt.Fprintf(&b, " attempt %d", e.Attempt)
	}
	if e.Deliveries > 0 {
		fmt.Fprintf(&b, " delivery %d", e.Deliveries)
	}
	if e.Level != driver.Normal {
		fmt.Fprintf(&b, " level %d", e.Level)
	}
	if e.Group != "" {
		fmt.Fprintf(&b, " group %s", e.Group)
	}
	if e.Key != "" {
		fmt.Fprintf(&b, " key %s", e.Key)
	}
	if e.Delay > 0 {
		fmt.Fprintf(&b, " for %s", e.Delay)
	}
	if e.Note != "" {
		fmt.Fprintf(&b, ": %s", e.Note)
	}
	return b.String()
}

// History records what happens to jobs, for pure functions to judge. It is safe
// for concurrent use. Make it with [NewHistory].
type History struct {
	begin time.Time

	mu     sync.Mutex // guards following
	events []Event
	counts [len(opNames)]int
	// grown is closed when an event is added, and replaced by the next Wait.
	grown chan struct{}
}

// NewHistory begins a history.
func NewHistory() *History { return &History{begin: time.Now()} }

// Add records an event. It sets its time and returns it.
func (h *History) Add(e Event) Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	e.At = time.Since(h.begin)
	h.events = append(h.events, e)
	if int(e.Op) < len(h.counts) {
		h.counts[e.Op]++
	}
	if h.grown != nil {
		close(h.grown)
		h.grown = nil
	}
	return e
}

// Now is the present on the history's clock.
func (h *History) Now() time.Duration { return time.Since(h.begin) }

// Events is a copy of what was recorded so far.
func (h *History) Events() []Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.events)
}

// Of are the events of one job.
func (h *History) Of(id string) []Event {
	return slices.DeleteFunc(h.Events(), func(e Event) bool { return e.ID != id })
}

// Count is how many events have one of the ops.
func (h *History) Count(ops ...Op) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, op := range ops {
		n += h.counts[op]
	}
	return n
}

// Wait returns nil when ok is true, which is asked whenever an event was added,
// and ctx's cause if ctx ends before. ok must not take long.
func (h *History) Wait(ctx context.Context, ok func() bool) error {
	for {
		h.mu.Lock()
		if h.grown == nil {
			h.grown = make(chan struct{})
		}
		grown := h.grown
		h.mu.Unlock()
		if ok() {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Tail is the last n events, one a line.
func (h *History) Tail(n int) string {
	events := h.Events()
	var b strings.Builder
	if skipped := len(events) - n; skipped > 0 {
		fmt.Fprintf(&b, "  (%d events before)\n", skipped)
		events = events[skipped:]
	}
	for _, e := range events {
		fmt.Fprintf(&b, "%s\n", e)
	}
	return b.String()
}

// excerpt is Tail, and before it all of the first job that one of the problems names, if
// that is older, with the faults that there were.
func (h *History) excerpt(n int, problems []string) string {
	events := h.Events()
	tail := h.Tail(n)
	older := events[:max(0, len(events)-n)]
	accused := ""
	for _, word := range strings.FieldsFunc(strings.Join(problems, " "), func(r rune) bool { return strings.ContainsRune(" \n\t:;,\"", r) }) {
		if slices.ContainsFunc(older, func(e Event) bool { return e.ID != "" && e.ID == word }) {
			accused = word
			break
		}
	}
	if accused == "" {
		return tail
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  (%s and the faults)\n", accused)
	for _, e := range older {
		if e.ID == accused || e.Op == Disturbed || e.Op == Mended {
			fmt.Fprintf(&b, "%s\n", e)
		}
	}
	return b.String() + tail
}
