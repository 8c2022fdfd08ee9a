package batchtest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/batch-go/batch"
)

// search is what was found in a queue of what a function looks for.
type search struct {
	// what is looked for: "job" or "dead letter", of a kind.
	what, kind string
	matches    []Match
	// missing says that there is no such queue.
	missing bool
	// ofKind are the jobs of the kind, matching those of them that are as all matches say, and rest the jobs of other
	// kinds.
	ofKind, matching, rest []*found
}

// look looks for jobs of A's kind that are waiting or scheduled.
func look[A batch.Args, D batch.Inspector](ctx context.Context, t testing.TB, q *batch.Queue[D], matches []Match) *search {
	t.Helper()
	s := newSearch[A](t, "job", matches)
	jobs, missing, err := list(ctx, q, batch.StateWaiting, batch.StateScheduled)
	if err != nil {
		t.Fatalf("batchtest: the jobs of queue %s cannot be listed: %v", q.Name(), err)
	}
	s.missing = missing
	sift[A](ctx, s, jobs)
	return s
}

// newSearch begins a search that can be meant.
func newSearch[A batch.Args](t testing.TB, what string, matches []Match) *search {
	t.Helper()
	kind, err := kindOf[A]()
	if err == nil {
		err = check(matches, reflect.TypeFor[A]())
	}
	if err != nil {
		t.Fatalf("batchtest: %v", err)
	}
	return &search{what: what, kind: kind, matches: matches}
}

// sift sorts the jobs of a queue.
func sift[A batch.Args](ctx context.Context, s *search, jobs []found) {
	for i := range jobs {
		f := &jobs[i]
		if f.Kind != s.kind {
			s.rest = append(s.rest, f)
			continue
		}
		decodeInto[A](ctx, f)
		s.ofKind = append(s.ofKind, f)
		if len(differences(ctx, s.matches, f)) == 0 {
			s.matching = append(s.matching, f)
		}
	}
}

// explain says why nothing was found in a queue: what differs, job by job, and what else there is.
func (s *search) explain(ctx context.Context, queue string, hints []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "queue %s has no %s of kind %s%s", queue, s.what, s.kind, wanted(s.matches))
	if s.missing {
		b.WriteString("\n  the queue does not exist: nothing was enqueued on it")
	}
	s.explainKind(ctx, &b)
	switch {
	case len(s.rest) > 0:
		b.WriteString("\n  it has other kinds: " + kinds(s.rest))
	case !s.missing && len(s.ofKind) == 0:
		b.WriteString("\n  it has none of any kind")
	}
	for _, hint := range hints {
		b.WriteString("\n  " + hint)
	}
	return b.String()
}

// explainKind says how the jobs of the kind differ from what is wanted, those that differ least first.
func (s *search) explainKind(ctx context.Context, b *strings.Builder) {
	lines := make(map[*found][]string, len(s.ofKind))
	for _, f := range s.ofKind {
		lines[f] = differences(ctx, s.matches, f)
	}
	nearest := slices.Clone(s.ofKind)
	slices.SortStableFunc(nearest, func(a, b *found) int { return len(lines[a]) - len(lines[b]) })
	for i, f := range nearest {
		if i == mostDescribed {
			fmt.Fprintf(b, "\n  %d more of the kind differ in no fewer places", len(nearest)-i)
			break
		}
		fmt.Fprintf(b, "\n  job %s, %s, differs:", f.ID, f.State)
		for _, line := range lines[f] {
			b.WriteString("\n    " + line)
		}
	}
}

// others says what else of the kind there is.
func (s *search) others() string {
	if n := len(s.ofKind) - len(s.matching); n > 0 {
		return fmt.Sprintf("\n  and %d of the kind that differ", n)
	}
	return ""
}
