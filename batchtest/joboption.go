package batchtest

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/batch-go/batch"
)

// JobOption says how a job of [NewJob] or [Work] differs from a new one.
type JobOption struct {
	apply func(*work) error
}

// set applies the option.
func (o JobOption) set(w *work) error {
	if o.apply == nil {
		return errors.New("the zero JobOption: must be made by one of the option functions")
	}
	return o.apply(w)
}

// entryOption is an option that sets a field whose bounds the core checks.
func entryOption(set func(*batch.Entry)) JobOption {
	return JobOption{func(w *work) error {
		set(&w.entry)
		return nil
	}}
}

// ID names the job. Defaults to a new ID for each.
func ID(id string) JobOption { return entryOption(func(e *batch.Entry) { e.ID = id }) }

// Queue is the name of the job's queue. Defaults to "batchtest".
func Queue(name string) JobOption {
	return JobOption{func(w *work) error {
		w.queue = name
		return nil
	}}
}

// Kind is the kind under which the job is stored, an older name of that of its args: see
// [batch.HandleAliases], which [Work] needs then, in [Handling].
func Kind(kind string) JobOption { return entryOption(func(e *batch.Entry) { e.Kind = kind }) }

// Attempt is the number of this run, 1 to 1000: the handler has failed one time fewer before. Deliveries
// follows it, unless it is set.
func Attempt(n int) JobOption {
	return count("Attempt", n, func(e *batch.Entry) { e.Failures = n - 1 })
}

// MaxAttempts is how many times the handler may fail, as the producer asked for: 1 to 1000. Defaults to
// the handler's, and that to 25.
func MaxAttempts(n int) JobOption {
	return count("MaxAttempts", n, func(e *batch.Entry) { e.MaxAttempts = n })
}

// Deliveries is how often the job was handed out, this time included: 1 to 1000. Defaults to [Attempt].
func Deliveries(n int) JobOption {
	return count("Deliveries", n, func(e *batch.Entry) { e.Deliveries = n - 1 })
}

// count is an option that sets a number from 1 to 1000.
func count(name string, n int, set func(*batch.Entry)) JobOption {
	return JobOption{func(w *work) error {
		if n < 1 || n > 1000 {
			return fmt.Errorf("%s is %d: must be 1 to 1000", name, n)
		}
		set(&w.entry)
		return nil
	}}
}

// LastError is the text of the failure before this attempt.
func LastError(text string) JobOption {
	return entryOption(func(e *batch.Entry) { e.LastError = text })
}

// Header gives the job a header, as [batch.Header] does. A second one with the same name replaces the
// first.
func Header(name, value string) JobOption {
	return entryOption(func(e *batch.Entry) {
		if e.Headers = maps.Clone(e.Headers); e.Headers == nil {
			e.Headers = make(map[string]string)
		}
		e.Headers[name] = value
	})
}

// Priority is the job's level. Defaults to Normal.
func Priority(level batch.Level) JobOption {
	return entryOption(func(e *batch.Entry) { e.Level = level })
}

// Group is the name of the job's group.
func Group(name string) JobOption { return entryOption(func(e *batch.Entry) { e.Group = name }) }

// Timeout bounds the run, as the producer asked for: 1 ms to 30 days. Defaults to the handler's, and that to 30
// minutes.
func Timeout(d time.Duration) JobOption {
	return JobOption{func(w *work) error {
		if d <= 0 {
			return fmt.Errorf("Timeout is %s: must be 1ms to 720h", d)
		}
		w.entry.Timeout = d
		return nil
	}}
}

// EnqueuedAt is when the job was enqueued. Defaults to now.
func EnqueuedAt(at time.Time) JobOption {
	return entryOption(func(e *batch.Entry) { e.EnqueuedAt = at.UTC().Truncate(time.Millisecond) })
}

// ExpiresAt is until when the job may be started. [Work] does not start one that has expired, and its
// [Result] says so.
func ExpiresAt(at time.Time) JobOption {
	return entryOption(func(e *batch.Entry) { e.ExpiresAt = at.UTC().Truncate(time.Millisecond) })
}

// Codec encodes the job's args, and decodes them in [Work]. Defaults to [batch.JSON].
func Codec(codec batch.Codec) JobOption {
	return JobOption{func(w *work) error {
		if codec == nil {
			return errors.New("Codec is nil: must be a codec")
		}
		w.codec = codec
		return nil
	}}
}
