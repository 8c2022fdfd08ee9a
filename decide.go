package batch

import (
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
)

// Outcome is what becomes of a job that was handed to a worker.
type Outcome = driver.Outcome

// The outcomes. A [Verdict] without an outcome says that the lease was lost and
// the job is the broker's.
const (
	OutcomeDone    = driver.OutcomeDone
	OutcomeRetry   = driver.OutcomeRetry
	OutcomeRelease = driver.OutcomeRelease
	OutcomeDead    = driver.OutcomeDead
)

// The reasons for which a job is dead-lettered, in [DeadLetter] and [Verdict].
const (
	ReasonAttempts    = driver.ReasonAttempts
	ReasonPermanent   = driver.ReasonPermanent
	ReasonUndecodable = driver.ReasonUndecodable
	ReasonUnknownKind = driver.ReasonUnknownKind
	ReasonExpired     = driver.ReasonExpired
	ReasonPoison      = driver.ReasonPoison
	ReasonUnreadable  = driver.ReasonUnreadable
)

// Verdict is what was decided on one delivery of a job.
type Verdict struct {
	// Outcome is Done, Retry, Release or Dead; zero if the lease was lost.
	Outcome Outcome
	// Delay is how long a Retry is held back.
	Delay time.Duration
	// Failures is how often the handler has failed by now, this delivery
	// included.
	Failures int
	// Reason says why the job is Dead: one of the Reason constants.
	Reason string
	// Capped is true if Delay is shorter than what was asked for, because the
	// driver cannot hold a job back for that long.
	Capped bool
}

// stage is how far a delivery got before its fate was decided.
type stage uint8

const (
	// received: it was handed out, and runs unless there is a reason against it.
	received stage = iota + 1
	// unstarted: the worker stopped before it started the job.
	unstarted
	// returned: the handler returned, or panicked.
	returned
	// overdue: the handler ignored the end of its context and was detached.
	overdue
	// interrupted: the worker cancelled the handler at its second deadline, and
	// the handler returned an error or did not return.
	interrupted
)

// facts are everything that the fate of a delivery depends on.
type facts struct {
	stage stage

	// The job's history, this delivery included in deliveries.
	failures, deliveries, redeliveries int
	// The job's and the worker's bounds.
	maxAttempts, maxRedeliveries int

	// What is known when it is received.
	expired bool
	// unknown is not nil if this worker has no handler for the kind or no codec
	// for the content type. Another worker may have both.
	unknown error
	// decoding is the codec's error.
	decoding error

	// err is what the handler returned.
	err error
	// backoff is the retry policy's delay for the failure that err would be, or
	// for unknown.
	backoff time.Duration
	// maxDelay is the longest that the driver holds a retry back.
	maxDelay time.Duration
}

// decide is the state machine of a delivery, which docs/states.md draws. It is a
// pure function, and the only place where a job's fate is decided. The zero
// Outcome means that the job runs. The error is the reason in words, for hooks and
// for the job's history.
func decide(f facts) (Verdict, error) {
	keep := Verdict{Failures: f.failures}
	switch f.stage {
	case received:
		return decideStart(f, keep)
	case unstarted:
		keep.Outcome = OutcomeRelease
		return keep, nil
	case interrupted:
		keep.Outcome = OutcomeRelease
		return keep, f.err
	case overdue:
		return decideFailure(f, f.err)
	}
	if f.err == nil {
		keep.Outcome = OutcomeDone
		return keep, nil
	}
	var snooze *snoozeError
	var permanent *permanentError
	switch {
	case errors.As(f.err, &permanent):
		return Verdict{Outcome: OutcomeDead, Failures: f.failures + 1, Reason: ReasonPermanent}, f.err
	case errors.As(f.err, &snooze):
		keep.Outcome = OutcomeRetry
		keep.Delay, keep.Capped = capDelay(snooze.delay, f.maxDelay)
		return keep, f.err
	}
	return decideFailure(f, f.err)
}

// decideStart decides whether a job that was received runs. The order matters: a
// job that kills its workers must not be decoded, as decoding may be what kills
// them, and the kind of an expired job need not be known.
func decideStart(f facts, keep Verdict) (Verdict, error) {
	switch {
	case f.redeliveries > f.maxRedeliveries:
		keep.Outcome, keep.Reason = OutcomeDead, ReasonPoison
		return keep, fmt.Errorf("handed out %d times without having been settled: it seems to kill its workers", f.redeliveries)
	case f.expired:
		keep.Outcome, keep.Reason = OutcomeDead, ReasonExpired
		return keep, errors.New("not started before its expiry")
	case f.unknown != nil && f.deliveries >= f.maxAttempts:
		keep.Outcome, keep.Reason = OutcomeDead, ReasonUnknownKind
		return keep, f.unknown
	case f.unknown != nil:
		keep.Outcome = OutcomeRetry
		keep.Delay, keep.Capped = capDelay(f.backoff, f.maxDelay)
		return keep, f.unknown
	case f.decoding != nil:
		keep.Outcome, keep.Reason = OutcomeDead, ReasonUndecodable
		return keep, f.decoding
	}
	return keep, nil
}

// decideFailure spends an attempt.
func decideFailure(f facts, err error) (Verdict, error) {
	failures := f.failures + 1
	if failures >= f.maxAttempts {
		return Verdict{Outcome: OutcomeDead, Failures: failures, Reason: ReasonAttempts}, err
	}
	delay := f.backoff
	var after *retryAfterError
	if errors.As(err, &after) {
		delay = after.delay
	}
	v := Verdict{Outcome: OutcomeRetry, Failures: failures}
	v.Delay, v.Capped = capDelay(delay, f.maxDelay)
	return v, err
}

// capDelay bounds a delay, and reports whether it had to shorten it.
func capDelay(d, most time.Duration) (time.Duration, bool) {
	d = max(d, 0)
	if d > most {
		return most, true
	}
	return d, false
}
