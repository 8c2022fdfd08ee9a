package batch

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestDecide is the state machine of docs/states.md, row by row.
func TestDecide(t *testing.T) {
	boom := errors.New("boom")
	// base is an ordinary first delivery.
	now := time.Date(2030, 1, 2, 3, 4, 5, 6e6, time.UTC)
	base := facts{
		maxAttempts: 3, maxRedeliveries: 20, bounceTimeout: 24 * time.Hour,
		now: now, backoff: time.Minute, maxDelay: time.Hour,
	}
	with := func(change func(*facts)) facts {
		f := base
		change(&f)
		return f
	}
	tests := []struct {
		name string
		in   facts
		want Verdict
		err  error // the reason must wrap it; nil: must be nil unless Dead or a start refused
	}{
		{"runs", with(func(f *facts) { f.stage = received }), Verdict{}, nil},
		{"runs with failures behind it", with(func(f *facts) { f.stage, f.failures = received, 2 }), Verdict{Failures: 2}, nil},
		{"runs at the redelivery bound", with(func(f *facts) { f.stage, f.redeliveries = received, 20 }), Verdict{}, nil},
		{"poison", with(func(f *facts) { f.stage, f.redeliveries, f.failures = received, 21, 1 }), Verdict{Outcome: OutcomeDead, Reason: ReasonPoison, Failures: 1}, nil},
		{"poison before expired", with(func(f *facts) { f.stage, f.redeliveries, f.expired = received, 21, true }), Verdict{Outcome: OutcomeDead, Reason: ReasonPoison}, nil},
		{"expired", with(func(f *facts) { f.stage, f.expired, f.failures = received, true, 2 }), Verdict{Outcome: OutcomeDead, Reason: ReasonExpired, Failures: 2}, nil},
		{"expired before unknown", with(func(f *facts) { f.stage, f.expired, f.unknown = received, true, boom }), Verdict{Outcome: OutcomeDead, Reason: ReasonExpired}, nil},
		{"unknown kind, for the first time", with(func(f *facts) { f.stage, f.unknown = received, boom }), Verdict{Outcome: OutcomeRetry, Delay: time.Minute, Bounces: 1, BouncedSince: now}, boom},
		{"unknown kind, on the last attempt", with(func(f *facts) { f.stage, f.unknown, f.failures, f.bounces = received, boom, 2, 1000 }), Verdict{Outcome: OutcomeRetry, Delay: time.Minute, Failures: 2, Bounces: 1001, BouncedSince: now}, boom},
		{"unknown kind, at the bound", with(func(f *facts) {
			f.stage, f.unknown, f.bounces, f.bouncedSince = received, boom, 9, now.Add(-24*time.Hour)
		}), Verdict{Outcome: OutcomeRetry, Delay: time.Minute, Bounces: 10, BouncedSince: now.Add(-24 * time.Hour)}, boom},
		{"unknown kind, beyond the bound", with(func(f *facts) {
			f.stage, f.unknown, f.bounces, f.bouncedSince = received, boom, 9, now.Add(-24*time.Hour-1)
		}), Verdict{Outcome: OutcomeDead, Reason: ReasonUnknownKind, Bounces: 10, BouncedSince: now.Add(-24*time.Hour - 1)}, boom},
		{"unknown kind, first put back by a clock that is ahead", with(func(f *facts) {
			f.stage, f.unknown, f.bounces, f.bouncedSince = received, boom, 1, now.Add(time.Hour)
		}), Verdict{Outcome: OutcomeRetry, Delay: time.Minute, Bounces: 2, BouncedSince: now.Add(time.Hour)}, boom},
		{"unreadable now", with(func(f *facts) { f.stage, f.decoding = received, fmt.Errorf("body: %w", Unreadable(boom)) }), Verdict{Outcome: OutcomeRetry, Delay: time.Minute, Bounces: 1, BouncedSince: now}, boom},
		{"unreadable for too long", with(func(f *facts) {
			f.stage, f.decoding, f.bounces, f.bouncedSince = received, Unreadable(boom), 1, now.Add(-25*time.Hour)
		}), Verdict{Outcome: OutcomeDead, Reason: ReasonBodyUnavailable, Bounces: 2, BouncedSince: now.Add(-25 * time.Hour)}, boom},
		{"expired after bounces", with(func(f *facts) { f.stage, f.expired, f.bounces, f.bouncedSince = received, true, 2, now }), Verdict{Outcome: OutcomeDead, Reason: ReasonExpired, Bounces: 2, BouncedSince: now}, nil},
		{"a failure ends a row of bounces", with(func(f *facts) { f.stage, f.err, f.bounces, f.bouncedSince = returned, boom, 2, now }), Verdict{Outcome: OutcomeRetry, Delay: time.Minute, Failures: 1, Bounces: 2}, boom},
		{"a snooze ends a row of bounces", with(func(f *facts) {
			f.stage, f.err, f.bounces, f.bouncedSince = returned, Snooze(time.Second), 2, now
		}), Verdict{Outcome: OutcomeRetry, Delay: time.Second, Bounces: 2}, nil},
		{"a stuck handler ends a row of bounces", with(func(f *facts) { f.stage, f.err, f.bounces, f.bouncedSince = overdue, boom, 2, now }), Verdict{Outcome: OutcomeRetry, Delay: time.Minute, Failures: 1, Bounces: 2}, boom},
		{"a release ends no row of bounces", with(func(f *facts) { f.stage, f.err, f.bounces, f.bouncedSince = interrupted, boom, 2, now }), Verdict{Outcome: OutcomeRelease, Bounces: 2, BouncedSince: now}, boom},
		{"Unreadable from a handler is a failure", with(func(f *facts) { f.stage, f.err = returned, Unreadable(boom) }), Verdict{Outcome: OutcomeRetry, Delay: time.Minute, Failures: 1}, boom},
		{"undecodable", with(func(f *facts) { f.stage, f.decoding = received, boom }), Verdict{Outcome: OutcomeDead, Reason: ReasonUndecodable}, boom},

		{"drained", with(func(f *facts) { f.stage, f.failures = unstarted, 2 }), Verdict{Outcome: OutcomeRelease, Failures: 2}, nil},
		{"interrupted", with(func(f *facts) { f.stage, f.failures, f.err = interrupted, 2, boom }), Verdict{Outcome: OutcomeRelease, Failures: 2}, boom},
		{"interrupted on the last attempt", with(func(f *facts) { f.stage, f.failures, f.err = interrupted, 2, Permanent(boom) }), Verdict{Outcome: OutcomeRelease, Failures: 2}, boom},

		{"done", with(func(f *facts) { f.stage, f.failures = returned, 1 }), Verdict{Outcome: OutcomeDone, Failures: 1}, nil},
		{"first failure", with(func(f *facts) { f.stage, f.err = returned, boom }), Verdict{Outcome: OutcomeRetry, Delay: time.Minute, Failures: 1}, boom},
		{"last failure", with(func(f *facts) { f.stage, f.failures, f.err = returned, 2, boom }), Verdict{Outcome: OutcomeDead, Reason: ReasonAttempts, Failures: 3}, boom},
		{"failures beyond a bound that was lowered", with(func(f *facts) { f.stage, f.failures, f.err = returned, 7, boom }), Verdict{Outcome: OutcomeDead, Reason: ReasonAttempts, Failures: 8}, boom},
		{"only one attempt", with(func(f *facts) { f.stage, f.maxAttempts, f.err = returned, 1, boom }), Verdict{Outcome: OutcomeDead, Reason: ReasonAttempts, Failures: 1}, boom},
		{"panic", with(func(f *facts) { f.stage, f.err = returned, &PanicError{Value: boom} }), Verdict{Outcome: OutcomeRetry, Delay: time.Minute, Failures: 1}, boom},
		{"permanent", with(func(f *facts) { f.stage, f.err = returned, Permanent(boom) }), Verdict{Outcome: OutcomeDead, Reason: ReasonPermanent, Failures: 1}, boom},
		{"permanent, wrapped", with(func(f *facts) { f.stage, f.err = returned, fmt.Errorf("sending: %w", Permanent(boom)) }), Verdict{Outcome: OutcomeDead, Reason: ReasonPermanent, Failures: 1}, boom},
		{"permanent wins over retry-after", with(func(f *facts) { f.stage, f.err = returned, RetryAfter(time.Second, Permanent(boom)) }), Verdict{Outcome: OutcomeDead, Reason: ReasonPermanent, Failures: 1}, boom},
		{"snooze", with(func(f *facts) { f.stage, f.failures, f.err = returned, 2, Snooze(time.Second) }), Verdict{Outcome: OutcomeRetry, Delay: time.Second, Failures: 2}, nil},
		{"snooze beyond the driver's reach", with(func(f *facts) { f.stage, f.err = returned, Snooze(2*time.Hour) }), Verdict{Outcome: OutcomeRetry, Delay: time.Hour, Capped: true}, nil},
		{"snooze of a negative time", with(func(f *facts) { f.stage, f.err = returned, Snooze(-1) }), Verdict{Outcome: OutcomeRetry}, nil},
		{"retry-after", with(func(f *facts) { f.stage, f.err = returned, RetryAfter(time.Second, boom) }), Verdict{Outcome: OutcomeRetry, Delay: time.Second, Failures: 1}, boom},
		{"retry-after on the last attempt", with(func(f *facts) { f.stage, f.failures, f.err = returned, 2, RetryAfter(time.Second, boom) }), Verdict{Outcome: OutcomeDead, Reason: ReasonAttempts, Failures: 3}, boom},
		{"backoff beyond the driver's reach", with(func(f *facts) { f.stage, f.err, f.backoff = returned, boom, 2*time.Hour }), Verdict{Outcome: OutcomeRetry, Delay: time.Hour, Failures: 1, Capped: true}, boom},
		{"negative backoff", with(func(f *facts) { f.stage, f.err, f.backoff = returned, boom, -1 }), Verdict{Outcome: OutcomeRetry, Failures: 1}, boom},

		{"stuck", with(func(f *facts) { f.stage, f.err = overdue, ErrTimeout }), Verdict{Outcome: OutcomeRetry, Delay: time.Minute, Failures: 1}, ErrTimeout},
		{"stuck on the last attempt", with(func(f *facts) { f.stage, f.failures, f.err = overdue, 2, ErrTimeout }), Verdict{Outcome: OutcomeDead, Reason: ReasonAttempts, Failures: 3}, ErrTimeout},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decide(tt.in)
			if got != tt.want {
				t.Errorf("decide = %+v, want %+v", got, tt.want)
			}
			if tt.err != nil && !errors.Is(err, tt.err) {
				t.Errorf("reason = %v, want one that wraps %v", err, tt.err)
			}
			if got.Outcome == OutcomeDead && err == nil {
				t.Error("a dead letter without a reason in words")
			}
		})
	}
}

// A job is suspected before it is poison, and not because of two others that kill: each
// of these takes it along until it is a suspect itself.
func TestSuspectAt(t *testing.T) {
	for most := 1; most <= 1000; most++ {
		at := suspectAt(most)
		if at < 1 || at > 3 || at > most || most >= 2 && 2*at > most {
			t.Errorf("suspectAt(%d) = %d", most, at)
		}
	}
	_, err := decide(facts{stage: received, redeliveries: 21, maxRedeliveries: 20})
	if err == nil || !strings.Contains(err.Error(), "21 times in a row") || !strings.Contains(err.Error(), "since it was lost 3 times") {
		t.Errorf("the reason of a poisoned job is %q: it must say how often it was lost, and since when it was run alone", err)
	}
}

// TestOnlyFailuresSpendAttempts goes through every combination of the facts'
// flags: Failures grows by one exactly when the handler failed.
func TestOnlyFailuresSpendAttempts(t *testing.T) {
	boom := errors.New("boom")
	for _, stage := range []stage{received, unstarted, returned, overdue, interrupted} {
		for _, err := range []error{nil, boom, Permanent(boom), Snooze(time.Second), RetryAfter(time.Second, boom)} {
			for flags := range 8 {
				f := facts{
					stage: stage, err: err, failures: 1, maxAttempts: 5, maxRedeliveries: 3,
					expired: flags&1 != 0, maxDelay: time.Hour,
				}
				if flags&2 != 0 {
					f.unknown = boom
				}
				if flags&4 != 0 {
					f.redeliveries = 4
				}
				var snooze *snoozeError
				failed := stage == overdue || stage == returned && err != nil && !errors.As(err, &snooze)
				want := 1
				if failed {
					want = 2
				}
				if v, _ := decide(f); v.Failures != want {
					t.Errorf("stage %d, err %v, flags %03b: Failures = %d, want %d", stage, err, flags, v.Failures, want)
				}
			}
		}
	}
}

func TestExponentialStaysBelowItsCeiling(t *testing.T) {
	p := ExponentialBackoff{Base: time.Second, Max: time.Minute}
	for failures, ceiling := range map[int]time.Duration{
		0: time.Second, 1: time.Second, 2: 2 * time.Second, 6: 32 * time.Second, 7: time.Minute, 1000: time.Minute,
	} {
		if got := p.ceiling(failures); got != ceiling {
			t.Errorf("ceiling(%d) = %s, want %s", failures, got, ceiling)
		}
		var longest time.Duration
		for range 1000 {
			d := p.Backoff(failures, nil)
			if d <= 0 || d > ceiling {
				t.Fatalf("Backoff(%d) = %s, want it in (0, %s]", failures, d, ceiling)
			}
			longest = max(longest, d)
		}
		// 1000 draws all below half of the ceiling: 2^-1000.
		if longest <= ceiling/2 {
			t.Errorf("Backoff(%d) never exceeded %s of %s: it is not full jitter", failures, longest, ceiling)
		}
	}
	if got := (ExponentialBackoff{}).ceiling(40); got != 24*time.Hour {
		t.Errorf("the default ceiling = %s, want 24h", got)
	}
}
