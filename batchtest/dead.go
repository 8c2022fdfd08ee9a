package batchtest

import (
	"context"
	"errors"
	"testing"

	"github.com/batch-go/batch"
)

// RequireDead returns the one dead letter of A's kind in a queue that is as all matches say, such as [WithReason] and
// [WithLastError]. If there is none, or more than one, the test fails, and the message says what there is instead.
// Every broker has dead letters, so the queue may be any. On RabbitMQ and SQS it reads all of them, and on SQS that
// hides them from others for a second.
func RequireDead[A batch.Args, D batch.Driver](t testing.TB, q *batch.Queue[D], matches ...Match) Stored[A] {
	t.Helper()
	ctx, cancel := begin(t, q)
	defer cancel()
	s := newSearch[A](t, "dead letter", matches)
	letters, missing, err := listDead(ctx, q)
	if err != nil {
		t.Fatalf("batchtest: the dead letters of queue %s cannot be listed: %v", q.Name(), err)
	}
	s.missing = missing
	sift[A](ctx, s, letters)
	switch {
	case len(s.matching) == 0:
		var hints []string
		if able, ok := batch.As[batch.Inspector](q); ok {
			hints = alive(ctx, able, s.kind)
		}
		t.Fatalf("batchtest: %s", s.explain(ctx, q.Name(), hints))
	case len(s.matching) > 1:
		t.Fatalf("batchtest: queue %s has %d dead letters of kind %s%s, want one:%s",
			q.Name(), len(s.matching), s.kind, wanted(matches), describeAll(s.matching))
	}
	return stored[A](s.matching[0])
}

// listDead reads the dead letters of a queue.
func listDead[D batch.Driver](ctx context.Context, q *batch.Queue[D]) (letters []found, missing bool, err error) {
	for cursor := ""; ; {
		page, next, err := q.DeadLetters().List(ctx, cursor, 1000)
		if errors.Is(err, batch.ErrNotFound) {
			return nil, true, nil
		}
		if err != nil {
			return nil, false, err
		}
		for i := range page {
			letters = append(letters, found{Entry: page[i].Entry(), queue: q.Name(), codec: q.Codec()})
		}
		if len(letters) > mostJobs {
			return nil, false, errTooMany
		}
		if next == "" {
			return letters, false, nil
		}
		cursor = next
	}
}

// alive says what of a kind is not dead.
func alive(ctx context.Context, q *batch.Queue[batch.Inspector], kind string) []string {
	jobs, _, err := list(ctx, q, batch.StateWaiting, batch.StateScheduled)
	if err != nil {
		return nil
	}
	for i := range jobs {
		if f := &jobs[i]; f.Kind == kind {
			return []string{"of the kind there is " + describe(f)}
		}
	}
	return nil
}
