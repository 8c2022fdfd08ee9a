package batchtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/batch-go/batch"
)

// Match says what a job has to be like for a function such as [RequireEnqueued] to find it. Of several, a job has
// to be like all of them.
type Match struct {
	// want is what is wanted, for messages: "priority high".
	want string
	// differs says line by line how a job differs from that. It is empty if it does not.
	differs func(ctx context.Context, f *found) []string
	// args is the type of the args that the match is for, nil for all.
	args reflect.Type
	err  error
}

// fieldMatch is a match of what is stored with a job, which is what got returns as text.
func fieldMatch(field, want string, got func(*found) string) Match {
	return Match{want: field + " " + shorten(want), differs: func(_ context.Context, f *found) []string {
		if has := got(f); has != want {
			has, want := apart(has, want)
			return []string{fmt.Sprintf("%s is %s, want %s", field, has, want)}
		}
		return nil
	}}
}

// WithArgs wants these args. A job's are equal to them if they are after the queue's codec has encoded and decoded
// both, so what is not stored, such as an unexported field, makes no difference. If they differ, the message says
// where.
func WithArgs[A batch.Args](want A) Match {
	return Match{want: "args " + show(reflect.ValueOf(want)), args: reflect.TypeFor[A](), differs: func(ctx context.Context, f *found) []string {
		if reflect.DeepEqual(f.args, any(want)) {
			return nil
		}
		stored, err := roundTrip(ctx, f, want)
		if err != nil {
			return []string{"args cannot be compared: the wanted ones do not go through the codec: " + err.Error()}
		}
		return difference("args", f.args, stored)
	}}
}

// WithArgsFunc wants args for which ok returns true.
func WithArgsFunc[A batch.Args](ok func(A) bool) Match {
	m := Match{want: "args for which the function returns true", args: reflect.TypeFor[A]()}
	if ok == nil {
		m.err = errors.New("WithArgsFunc is given nil: must be a function")
	}
	m.differs = func(_ context.Context, f *found) []string {
		if !ok(f.args.(A)) {
			return []string{"args are " + show(reflect.ValueOf(f.args)) + ", and the function returns false"}
		}
		return nil
	}
	return m
}

// WithID wants this ID, that of [batch.Receipt] or [batch.ID].
func WithID(id string) Match {
	return fieldMatch("ID", id, func(f *found) string { return f.ID })
}

// WithPriority wants this level. A job without [batch.Priority] is Normal.
func WithPriority(level batch.Level) Match {
	m := fieldMatch("priority", level.String(), func(f *found) string { return f.Level.String() })
	if !level.Valid() {
		m.err = fmt.Errorf("WithPriority is %s: must be one of Trivial, Low, Normal, High, Critical", level)
	}
	return m
}

// WithDelay wants a job that is held back for d from when it was enqueued, and with zero one that is not. The clocks of
// the producer and the broker may differ, and time passes between: a job is one if its delay differs by a second at
// most, and by half of d at most. A job that was handed out before is none: it is held back for another reason.
func WithDelay(d time.Duration) Match {
	m := Match{want: "delay " + delayText(d)}
	if d < 0 {
		m.err = fmt.Errorf("WithDelay is %s: must be zero or longer", d)
	}
	m.differs = func(_ context.Context, f *found) []string {
		has, known := f.delay()
		switch {
		case !known:
			return []string{fmt.Sprintf("delay is that of a retry or a snooze, until %s, want %s", stamp(f.DueAt), delayText(d))}
		case d == 0 && f.State == batch.StateScheduled, d > 0 && f.State != batch.StateScheduled, (has - d).Abs() > min(time.Second, d/2):
			return []string{fmt.Sprintf("delay is %s, want %s", delayText(has), delayText(d))}
		}
		return nil
	}
	return m
}

// delayText is a delay in words.
func delayText(d time.Duration) string {
	if d == 0 {
		return "none"
	}
	return d.String()
}

// WithUnique wants the key of [batch.Unique] or [batch.UniqueWithin], and with "" a job that has none. The window is
// not stored with the job.
func WithUnique(key string) Match {
	return fieldMatch("unique key", quoted(key), func(f *found) string { return quoted(f.DedupKey) })
}

// WithGroup wants the name of [batch.Group], and with "" a job that has none.
func WithGroup(name string) Match {
	return fieldMatch("group", quoted(name), func(f *found) string { return quoted(f.Group) })
}

// WithHeader wants a header with this value. Others may be there too.
func WithHeader(name, value string) Match {
	return fieldMatch("header "+name, fmt.Sprintf("%q", value), func(f *found) string {
		if has, ok := f.Headers[name]; ok {
			return fmt.Sprintf("%q", has)
		}
		return "missing"
	})
}

// WithoutHeader wants a job that has no header of this name.
func WithoutHeader(name string) Match {
	return fieldMatch("header "+name, "missing", func(f *found) string {
		if has, ok := f.Headers[name]; ok {
			return fmt.Sprintf("%q", has)
		}
		return "missing"
	})
}

// WithMaxAttempts wants the number of [batch.MaxAttempts], and with zero a job that leaves it to the worker.
func WithMaxAttempts(n int) Match {
	return fieldMatch("max attempts", fmt.Sprint(n), func(f *found) string { return fmt.Sprint(f.MaxAttempts) })
}

// WithTimeout wants the duration of [batch.Timeout], and with zero a job that leaves it to the worker.
func WithTimeout(d time.Duration) Match {
	return fieldMatch("timeout", delayText(d), func(f *found) string { return delayText(f.Timeout) })
}

// WithExpiresIn wants the duration of [batch.ExpiresIn], and with zero a job that does not expire.
func WithExpiresIn(d time.Duration) Match {
	return fieldMatch("expiry", delayText(d), func(f *found) string {
		if f.ExpiresAt.IsZero() {
			return delayText(0)
		}
		return delayText(f.ExpiresAt.Sub(f.EnqueuedAt))
	})
}

// WithReason wants a dead letter with this reason, one of the Reason constants of package batch. Only [RequireDead]
// finds dead letters.
func WithReason(reason string) Match {
	return fieldMatch("reason", reason, func(f *found) string { return cmp.Or(f.Reason, "none") })
}

// WithFailures wants this number of attempts that were spent.
func WithFailures(n int) Match {
	return fieldMatch("failures", fmt.Sprint(n), func(f *found) string { return fmt.Sprint(f.Failures) })
}

// WithLastError wants text in the text of the last failure.
func WithLastError(text string) Match {
	return Match{want: fmt.Sprintf("last error with %q", shorten(text)), differs: func(_ context.Context, f *found) []string {
		if !strings.Contains(f.LastError, text) {
			return []string{fmt.Sprintf("last error is %q, want %q in it", shorten(f.LastError), shorten(text))}
		}
		return nil
	}}
}

// Where wants a job for which ok returns true. what says in messages what that is: "a trace ID".
func Where(what string, ok func(batch.Entry) bool) Match {
	m := Match{want: what}
	if ok == nil {
		m.err = errors.New("Where is given nil: must be a function")
	}
	m.differs = func(_ context.Context, f *found) []string {
		if !ok(f.Entry) {
			return []string{"it is without " + what}
		}
		return nil
	}
	return m
}

// check refuses matches that cannot be meant for jobs with args of a type.
func check(matches []Match, args reflect.Type) error {
	for i, m := range matches {
		switch {
		case m.err != nil:
			return m.err
		case m.differs == nil:
			return fmt.Errorf("match %d is the zero Match: must be made by one of the match functions", i+1)
		case m.args != nil && m.args != args:
			return fmt.Errorf("match %d is for args of type %s: must be %s, which are looked for", i+1, m.args, args)
		}
	}
	return nil
}

// differences are the lines of all matches for a job, which is found if there are none.
func differences(ctx context.Context, matches []Match, f *found) (lines []string) {
	for _, m := range matches {
		if m.args != nil && f.undecodable != nil {
			continue // said below, once
		}
		lines = append(lines, m.differs(ctx, f)...)
	}
	if f.undecodable != nil {
		lines = append(lines, "args cannot be decoded: "+f.undecodable.Error())
	}
	return lines
}

// wanted is what matches want, in one line.
func wanted(matches []Match) string {
	if len(matches) == 0 {
		return ""
	}
	wants := make([]string, len(matches))
	for i, m := range matches {
		wants[i] = m.want
	}
	return " with " + strings.Join(wants, ", ")
}

// roundTrip are args as they would be stored with a job.
func roundTrip[A batch.Args](ctx context.Context, f *found, args A) (A, error) {
	m := f.Message
	if err := encode(ctx, f.codec, f.queue, &m, args); err != nil {
		return args, err
	}
	return decode[A](ctx, f.codec, f.queue, &m)
}
