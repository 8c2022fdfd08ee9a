package batchtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/batch-go/batch"
)

// patience is how long the calls of one function may take in all. It is for brokers on the network: the memory driver
// answers at once.
const patience = 10 * time.Second

// bounded is the context for the calls of one function. It does not end with that of the test, which has ended when its
// cleanups run.
func bounded(t testing.TB) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeoutCause(withoutEnd(t), patience, fmt.Errorf("no answer within %s: %w", patience, context.DeadlineExceeded))
}

// begin is bounded for a function that looks into a queue, which must not be nil.
func begin[D batch.Driver](t testing.TB, q *batch.Queue[D]) (context.Context, context.CancelFunc) {
	t.Helper()
	if q == nil {
		t.Fatalf("batchtest: the queue is nil")
	}
	return bounded(t)
}

// withoutEnd is the test's context without its end. The zero testing.T of an example has none.
func withoutEnd(t testing.TB) context.Context {
	t.Helper()
	ctx := t.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	return context.WithoutCancel(ctx)
}
