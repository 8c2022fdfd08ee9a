package batchtest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/batchtest"
)

// outcomes are what handlers return, each with what holds it to that and what it is called.
var outcomes = []struct {
	name    string
	err     error
	require func(testing.TB, error)
}{
	{"success", nil, batchtest.RequireDone},
	{"a retry after the policy's backoff", errors.New("full"), batchtest.RequireRetry},
	{"a retry after 1h0m0s", fmt.Errorf("send: %w", batch.RetryAfter(time.Hour, errors.New("full"))), func(t testing.TB, err error) {
		t.Helper()
		batchtest.RequireRetryAfter(t, err, time.Hour)
	}},
	{"a retry after 2h0m0s", batch.RetryAfter(2*time.Hour, errors.New("full")), func(t testing.TB, err error) {
		t.Helper()
		batchtest.RequireRetryAfter(t, err, 2*time.Hour)
	}},
	{"a snooze of 1m0s", batch.Snooze(time.Minute), func(t testing.TB, err error) {
		t.Helper()
		batchtest.RequireSnooze(t, err, time.Minute)
	}},
	{"a snooze of 1h0m0s", batch.Snooze(time.Hour), func(t testing.TB, err error) {
		t.Helper()
		batchtest.RequireSnooze(t, err, time.Hour)
	}},
	{"a dead letter (permanent)", batch.Permanent(errors.New("no such user")), batchtest.RequirePermanent},
}

// Each outcome is only what it is, and the message says what it is instead.
func TestOutcomes(t *testing.T) {
	for _, is := range outcomes {
		for _, want := range outcomes {
			if is.name == want.name {
				want.require(t, is.err)
				continue
			}
			text := fmt.Sprintf("batchtest: the handler asked for %s, want %s", is.name, want.name)
			if is.err != nil {
				text += "\n  error: " + is.err.Error()
			}
			wantFailure(t, text, func(t testing.TB) { want.require(t, is.err) })
		}
	}
}

func TestPanicIsNoOtherOutcome(t *testing.T) {
	panics := func(context.Context, *batch.Job[Welcome]) error { panic(batch.Permanent(errors.New("boom"))) }
	err := batchtest.Work(t, panics, Welcome{}).Err
	for _, want := range outcomes {
		f := try(t, func(t testing.TB) { want.require(t, err) })
		if len(f.messages) != 1 || !strings.HasPrefix(f.messages[0], "batchtest: the handler panicked, want "+want.name+"\n  error: panic at batchtest/outcome_test.go:") {
			t.Errorf("for %s the test says %q", want.name, f.messages)
		}
	}
	wantFailure(t, "batchtest: the handler asked for a snooze of 1m0s, want a panic\n  error: snoozed for 1m0s", func(t testing.TB) {
		batchtest.RequirePanic(t, batch.Snooze(time.Minute))
	})
	wantFailure(t, "batchtest: the handler asked for success, want a panic", func(t testing.TB) { batchtest.RequirePanic(t, nil) })
}
