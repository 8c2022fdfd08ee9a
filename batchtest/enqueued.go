package batchtest

import (
	"testing"

	"github.com/batch-go/batch"
)

// Stored is a job as it is stored in a queue, with its args decoded by the codec of the queue's handle. Its Delay is for
// how long it is held back from its enqueue, if it was never handed out.
type Stored[A batch.Args] struct {
	batch.Entry
	Args A
}

// RequireEnqueued returns the one job of A's kind that is waiting or scheduled in a queue and is as all matches say. If
// there is none, or more than one, the test fails, and the message says what there is instead. Jobs that are not as
// the matches say may be there too. It looks once, and the broker has ten seconds to answer.
func RequireEnqueued[A batch.Args, D batch.Inspector](t testing.TB, q *batch.Queue[D], matches ...Match) Stored[A] {
	t.Helper()
	ctx, cancel := begin(t, q)
	defer cancel()
	s := look[A](ctx, t, q, matches)
	switch {
	case len(s.matching) == 0:
		t.Fatalf("batchtest: %s", s.explain(ctx, q.Name(), elsewhere(ctx, q, s.kind)))
	case len(s.matching) > 1:
		t.Fatalf("batchtest: queue %s has %d jobs of kind %s%s, want one (for more there is RequireEnqueuedMany):%s",
			q.Name(), len(s.matching), s.kind, wanted(matches), describeAll(s.matching))
	}
	return stored[A](s.matching[0])
}

// RequireEnqueuedMany is [RequireEnqueued] for exactly n jobs, which it returns: those that wait in the order in which
// they are handed out, as far as the broker can tell, and then the scheduled ones by their time.
func RequireEnqueuedMany[A batch.Args, D batch.Inspector](t testing.TB, q *batch.Queue[D], n int, matches ...Match) []Stored[A] {
	t.Helper()
	ctx, cancel := begin(t, q)
	defer cancel()
	if n < 1 {
		t.Fatalf("batchtest: RequireEnqueuedMany is asked for %d jobs: must be one or more (for none there is RequireNone)", n)
	}
	s := look[A](ctx, t, q, matches)
	switch {
	case len(s.matching) == 0:
		t.Fatalf("batchtest: %s", s.explain(ctx, q.Name(), elsewhere(ctx, q, s.kind)))
	case len(s.matching) != n:
		t.Fatalf("batchtest: queue %s has %d jobs of kind %s%s, want %d:%s%s",
			q.Name(), len(s.matching), s.kind, wanted(matches), n, describeAll(s.matching), s.others())
	}
	jobs := make([]Stored[A], n)
	for i, f := range s.matching {
		jobs[i] = stored[A](f)
	}
	return jobs
}

// RequireNone fails the test if a job of A's kind that is waiting or scheduled in a queue is as all matches say. With
// fewer matches it says more: without any, there is none of the kind. A queue that does not exist has none.
func RequireNone[A batch.Args, D batch.Inspector](t testing.TB, q *batch.Queue[D], matches ...Match) {
	t.Helper()
	ctx, cancel := begin(t, q)
	defer cancel()
	s := look[A](ctx, t, q, matches)
	if len(matches) == 0 {
		s.matching = s.ofKind // also those that cannot be decoded
	}
	if n := len(s.matching); n > 0 {
		t.Fatalf("batchtest: queue %s has %d of kind %s%s, want none:%s", q.Name(), n, s.kind, wanted(matches), describeAll(s.matching))
	}
}

// stored is a job for the caller.
func stored[A batch.Args](f *found) Stored[A] {
	job := Stored[A]{Entry: f.Entry, Args: f.args.(A)}
	if d, known := f.delay(); known {
		job.Delay = d
	}
	return job
}
