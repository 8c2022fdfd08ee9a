package batchtest

import (
	"errors"
	"testing"
	"time"

	"github.com/batch-go/batch"
)

// RequireDone fails the test unless a handler that returned err has succeeded: err is nil.
func RequireDone(t testing.TB, err error) {
	t.Helper()
	requireReturn(t, err, batch.Return{Kind: batch.ReturnDone})
}

// RequireRetry fails the test unless err is a plain failure, after which the job is retried by the retry policy as
// long as it has attempts left. One with a delay of its own is [RequireRetryAfter], and a panic is [RequirePanic].
func RequireRetry(t testing.TB, err error) {
	t.Helper()
	requireReturn(t, err, batch.Return{Kind: batch.ReturnRetry})
}

// RequireRetryAfter fails the test unless err is a failure with this delay before the retry: see [batch.RetryAfter].
func RequireRetryAfter(t testing.TB, err error, delay time.Duration) {
	t.Helper()
	requireReturn(t, err, batch.Return{Kind: batch.ReturnRetryAfter, Delay: delay})
}

// RequireSnooze fails the test unless err makes the job come back after this delay without having spent an attempt:
// see [batch.Snooze]. For a delay that is not known exactly there is [batch.OutcomeOf].
func RequireSnooze(t testing.TB, err error, delay time.Duration) {
	t.Helper()
	requireReturn(t, err, batch.Return{Kind: batch.ReturnSnooze, Delay: delay})
}

// RequirePermanent fails the test unless err makes the job a dead letter at once: see [batch.Permanent].
func RequirePermanent(t testing.TB, err error) {
	t.Helper()
	requireReturn(t, err, batch.Return{Kind: batch.ReturnPermanent})
}

// RequirePanic fails the test unless err is the panic of a handler, and returns it with its value, its place and its stack.
// Errors of [Work] and [Drain] are; a handler that the test itself calls panics through the test.
func RequirePanic(t testing.TB, err error) *batch.PanicError {
	t.Helper()
	panicked, is := errors.AsType[*batch.PanicError](err)
	if !is {
		t.Fatalf("batchtest: the handler asked for %s, want a panic%s", describeReturn(batch.OutcomeOf(err)), errorText(err))
	}
	return panicked
}

// requireReturn fails the test unless err asks for want, and is no panic.
func requireReturn(t testing.TB, err error, want batch.Return) {
	t.Helper()
	if panicked, is := errors.AsType[*batch.PanicError](err); is {
		t.Fatalf("batchtest: the handler panicked, want %s%s\n%s", describeReturn(want), errorText(err), panicked.Stack)
	}
	if asked := batch.OutcomeOf(err); asked != want {
		t.Fatalf("batchtest: the handler asked for %s, want %s%s", describeReturn(asked), describeReturn(want), errorText(err))
	}
}

// describeReturn is what a handler asks for, in words.
func describeReturn(r batch.Return) string {
	switch r.Kind {
	case batch.ReturnDone:
		return "success"
	case batch.ReturnRetry:
		return "a retry after the policy's backoff"
	case batch.ReturnRetryAfter:
		return "a retry after " + r.Delay.String()
	case batch.ReturnSnooze:
		return "a snooze of " + r.Delay.String()
	}
	return "a dead letter (permanent)"
}

// errorText is the text of an error as a further line of a message, if there is one.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	return "\n  error: " + err.Error()
}
