package batchtest

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/batch-go/batch"
)

// mostDescribed is how many jobs a message describes.
const mostDescribed = 5

// quoted is a name as text, which may be that of nothing.
func quoted(name string) string {
	if name == "" {
		return "none"
	}
	return fmt.Sprintf("%q", name)
}

// stamp is a time as text.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// jobsAre is a number of jobs with the verb that follows.
func jobsAre(n int64) string {
	if n == 1 {
		return "1 job is"
	}
	return fmt.Sprintf("%d jobs are", n)
}

// describe is a job in one line: what names it, and what of it is not as it is of most.
func describe(f *found) string {
	parts := []string{"job " + f.ID + " of kind " + f.Kind, f.State.String()}
	add := func(apply bool, format string, args ...any) {
		if apply {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	switch {
	case f.undecodable != nil || f.args == nil:
		add(true, "body %s", show(reflect.ValueOf(f.Body)))
	default:
		add(true, "args %s", show(reflect.ValueOf(f.args)))
	}
	add(f.Level != batch.Normal, "priority %s", f.Level)
	if d, known := f.delay(); d != 0 {
		add(known, "delay %s", d)
		add(!known, "due %s", stamp(f.DueAt))
	}
	add(f.DedupKey != "", "unique key %q", f.DedupKey)
	add(f.Group != "", "group %q", f.Group)
	for _, name := range slices.Sorted(maps.Keys(f.Headers)) {
		add(true, "header %s %q", name, shorten(f.Headers[name]))
	}
	add(f.Failures > 0, "failures %d", f.Failures)
	add(f.Reason != "", "reason %s", f.Reason)
	add(f.LastError != "", "last error %q", shorten(f.LastError))
	return strings.Join(parts, ", ")
}

// describeAll are the jobs, a line for each, and how many more there are.
func describeAll(jobs []*found) string { return bulleted(jobs, describe) }

// bulleted are things as further lines of a message, and how many more there are.
func bulleted[T any](list []T, line func(T) string) string {
	var b strings.Builder
	for i, one := range list {
		if i == mostDescribed {
			fmt.Fprintf(&b, "\n  and %d more", len(list)-i)
			break
		}
		b.WriteString("\n  " + line(one))
	}
	return b.String()
}

// kinds counts jobs by kind, in words.
func kinds(jobs []*found) string {
	count := make(map[string]int)
	for _, f := range jobs {
		count[f.Kind]++
	}
	return countsOf(count)
}

// countsOf is what was counted, in words.
func countsOf(count map[string]int) string {
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(count)) {
		parts = append(parts, fmt.Sprintf("%d %s", count[what], what))
	}
	return strings.Join(parts, ", ")
}
