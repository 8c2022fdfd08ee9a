package batchtest

import (
	"context"
	"reflect"
	"testing"

	"github.com/batch-go/batch"
)

// Expected is a job that [RequireExactly] wants, made by [Expect].
type Expected struct {
	kind    string
	decode  func(context.Context, *found)
	matches []Match
	err     error
}

// Expect is a job of A's kind that is as all matches say.
func Expect[A batch.Args](matches ...Match) Expected {
	kind, err := kindOf[A]()
	if err == nil {
		err = check(matches, reflect.TypeFor[A]())
	}
	return Expected{kind: kind, decode: decodeInto[A], matches: matches, err: err}
}

// String is what is expected, in words.
func (e Expected) String() string { return "a job of kind " + e.kind + wanted(e.matches) }

// fits tells whether a job is as expected.
func (e Expected) fits(ctx context.Context, f *found) bool {
	if f.Kind != e.kind {
		return false
	}
	e.decode(ctx, f)
	return len(differences(ctx, e.matches, f)) == 0
}

// RequireExactly fails the test unless the jobs that are waiting or scheduled in a queue are the expected ones, of
// whatever kinds, in any order, and no others. The message has what is missing and what is too much.
func RequireExactly[D batch.Inspector](t testing.TB, q *batch.Queue[D], expected ...Expected) {
	t.Helper()
	ctx, cancel := begin(t, q)
	defer cancel()
	for i, e := range expected {
		switch {
		case e.err != nil:
			t.Fatalf("batchtest: expected job %d: %v", i+1, e.err)
		case e.decode == nil:
			t.Fatalf("batchtest: expected job %d is the zero Expected: must be made by Expect", i+1)
		}
	}
	jobs, _, err := list(ctx, q, batch.StateWaiting, batch.StateScheduled)
	if err != nil {
		t.Fatalf("batchtest: the jobs of queue %s cannot be listed: %v", q.Name(), err)
	}
	missing, extra := pair(ctx, expected, jobs)
	if len(missing)+len(extra) == 0 {
		return
	}
	lines := bulleted(missing, func(e Expected) string { return "missing: " + e.String() }) +
		bulleted(extra, func(f *found) string { return "too much: " + describe(f) })
	t.Fatalf("batchtest: %s in queue %s, not exactly the %d expected:%s", jobsAre(int64(len(jobs))), q.Name(), len(expected), lines)
}

// RequireEmpty fails the test if any job, of whatever kind, is waiting or scheduled in a queue. One that does not exist
// is empty.
func RequireEmpty[D batch.Inspector](t testing.TB, q *batch.Queue[D]) {
	t.Helper()
	ctx, cancel := begin(t, q)
	defer cancel()
	jobs, _, err := list(ctx, q, batch.StateWaiting, batch.StateScheduled)
	if err != nil {
		t.Fatalf("batchtest: the jobs of queue %s cannot be listed: %v", q.Name(), err)
	}
	if _, extra := pair(ctx, nil, jobs); len(extra) > 0 {
		t.Fatalf("batchtest: %s in queue %s, want none:%s", jobsAre(int64(len(extra))), q.Name(), describeAll(extra))
	}
}

// pair gives as many jobs as possible to the expected ones, each to one that it fits, and returns what is left of both.
// A job may fit several, so an expected one that finds no free job asks the takers of those that fit to take another.
func pair(ctx context.Context, expected []Expected, jobs []found) (missing []Expected, extra []*found) {
	takers := make([]int, len(jobs)) // index in expected, plus one
	var take func(e int, asked []bool) bool
	take = func(e int, asked []bool) bool {
		// The free ones first: of many that are alike, none has to ask.
		for _, taken := range []bool{false, true} {
			for j := range jobs {
				if asked[j] || (takers[j] != 0) != taken || !expected[e].fits(ctx, &jobs[j]) {
					continue
				}
				asked[j] = true
				if !taken || take(takers[j]-1, asked) {
					takers[j] = e + 1
					return true
				}
			}
		}
		return false
	}
	for e := range expected {
		if !take(e, make([]bool, len(jobs))) {
			missing = append(missing, expected[e])
		}
	}
	for j := range jobs {
		if takers[j] == 0 {
			extra = append(extra, &jobs[j])
		}
	}
	return missing, extra
}
