package cron

import (
	"context"
	"fmt"
	"slices"

	"github.com/batch-go/batch"
)

// Source tells a scheduler which schedules there are: a table, a file, what another
// service says. A scheduler reads it when it starts and every [WithPoll] from then on, and
// compares what it gets with what it has, by content: a schedule that is the same goes on,
// one whose ticks have changed has those of its new form from then on, one that is new
// begins, and one that is not there any more ends. Ticks that are pending stay so if only
// Missed, Since or the job has changed.
//
// Each process reads the source by itself, so for a while some have the old list and others
// the new one. A tick that both have is one job; one that only some have is stored by
// those.
type Source[D batch.Driver] interface {
	// Entries returns all schedules that there are. If it fails or panics, the schedules
	// stay as they are, and it is called again after a while. An entry that is not valid,
	// or has the name of one before it, is refused by itself: if there was a valid one of
	// the name, that goes on as it was, and the refusal is an [Event] and a line of the
	// log. One call at a time is made; it has to return when ctx ends, which it does after
	// 30 s at the latest. The scheduler does not change the list, nor keeps it.
	Entries(ctx context.Context) ([]Entry[D], error)
}

// Notifier is a [Source] that can tell when its list has changed.
type Notifier interface {
	// Changed is a channel from which something can be received when the list has changed.
	// The list is then read at once, beside the polls. It is asked for once in each Run; a
	// channel that is closed tells nothing any more.
	Changed() <-chan struct{}
}

// SourceFunc is a [Source] that is a function.
type SourceFunc[D batch.Driver] func(context.Context) ([]Entry[D], error)

// Entries calls the function.
func (f SourceFunc[D]) Entries(ctx context.Context) ([]Entry[D], error) { return f(ctx) }

// Fixed is a source of schedules that never change. Unlike those of other sources, they
// are all checked when the scheduler is made, with their args and options.
func Fixed[D batch.Driver](entries ...Entry[D]) Source[D] { return fixed[D](slices.Clone(entries)) }

// fixed is the type of [Fixed].
type fixed[D batch.Driver] []Entry[D]

// Entries returns them.
func (f fixed[D]) Entries(context.Context) ([]Entry[D], error) { return f, nil }

// read calls a source. A panic of it is an error.
func read[D batch.Driver](ctx context.Context, s Source[D]) (entries []Entry[D], err error) {
	defer func() {
		if r := recover(); r != nil {
			entries, err = nil, fmt.Errorf("cron: the source panicked: %v", r)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return s.Entries(ctx)
}

// changesOf is the channel of a source that is a Notifier, or nil.
func changesOf[D batch.Driver](s Source[D]) <-chan struct{} {
	if n, ok := s.(Notifier); ok {
		return n.Changed()
	}
	return nil
}
