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
	ReasonAttempts        = driver.ReasonAttempts
	ReasonPermanent       = driver.ReasonPermanent
	ReasonUndecodable     = driver.ReasonUndecodable
	ReasonBodyUnavailable = driver.ReasonBodyUnavailable
	ReasonUnknownKind     = driver.ReasonUnknownKind
	ReasonExpired         = driver.ReasonExpired
	ReasonPoison          = driver.ReasonPoison
	ReasonTooLarge        = driver.ReasonTooLarge
	ReasonRemoved         = driver.ReasonRemoved
	ReasonRefused         = driver.ReasonRefused
	ReasonUnreadable      = driver.ReasonUnreadable
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
	// Bounces is how often a worker has put the job back by now because it could not
	// run it, this delivery included. BouncedSince is when the first of these was that
	// no run came after, zero if there is none.
	Bounces      int
	BouncedSince time.Time
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
	// interrupted: the worker cancelled the handler because it stops, and
	// the handler returned an error or did not return.
	interrupted
)

// facts are everything that the fate of a delivery depends on.
type facts struct {
	stage stage

	// The job's history.
	failures, redeliveries, bounces int
	// bouncedSince is when the job was first put back since it ran, or zero.
	bouncedSince time.Time
	// The job's and the worker's bounds.
	maxAttempts, maxRedeliveries int
	bounceTimeout                time.Duration

	// What is known when it is received.
	now     time.Time
	expired bool
	// unknown is not nil if this worker has no handler for the kind or no codec
	// for the content type. Another worker may have both.
	unknown error
	// decoding is the codec's error. If Unreadable made it, the body may be decoded
	// later.
	decoding error

	// err is what the handler returned.
	err error
	// backoff is the delay before the next try: of the retry policy for the failure
	// that err would be, or of a bounce.
	backoff time.Duration
	// maxDelay is the longest that the driver holds a retry back.
	maxDelay time.Duration
}

// decide is the state machine of a delivery, which docs/states.md draws. It is a
// pure function, and the only place where a job's fate is decided. The zero
// Outcome means that the job runs. The error is the reason in words, for hooks and
// for the job's history.
func decide(f facts) (Verdict, error) {
	keep := Verdict{Failures: f.failures, Bounces: f.bounces, BouncedSince: f.bouncedSince}
	switch f.stage {
	case received:
		return decideStart(f, keep)
	case unstarted:
		keep.Outcome = OutcomeRelease
		return keep, nil
	case interrupted:
		keep.Outcome = OutcomeRelease
		return keep, f.err
	}
	// The handler ran, which ends a row of bounces.
	keep.BouncedSince = time.Time{}
	asked := OutcomeOf(f.err)
	if f.stage == overdue { // it asked for nothing
		asked = Return{Kind: ReturnRetry}
	}
	switch asked.Kind {
	case ReturnDone:
		keep.Outcome = OutcomeDone
	case ReturnSnooze:
		keep.retry(asked.Delay, f.maxDelay)
	case ReturnPermanent:
		keep.Failures++
		keep.die(ReasonPermanent)
	default:
		keep.Failures++
		delay := f.backoff
		if asked.Kind == ReturnRetryAfter {
			delay = asked.Delay
		}
		if keep.Failures >= f.maxAttempts {
			keep.die(ReasonAttempts)
		} else {
			keep.retry(delay, f.maxDelay)
		}
	}
	return keep, f.err
}

// decideStart decides whether a job that was received runs. The order matters: a
// job that kills its workers must not be decoded, as decoding may be what kills
// them, and the kind of an expired job need not be known.
func decideStart(f facts, keep Verdict) (Verdict, error) {
	switch {
	case f.redeliveries > f.maxRedeliveries:
		keep.die(ReasonPoison)
		return keep, fmt.Errorf("lost with its worker %d times in a row, and run with no other job there since it was lost %d times: it seems to kill its workers", f.redeliveries, suspectAt(f.maxRedeliveries))
	case f.expired:
		keep.die(ReasonExpired)
		return keep, errors.New("not started before its expiry")
	case f.unknown != nil:
		return decideBounce(f, keep, ReasonUnknownKind, f.unknown)
	case isUnreadable(f.decoding):
		return decideBounce(f, keep, ReasonBodyUnavailable, f.decoding)
	case f.decoding != nil:
		keep.die(ReasonUndecodable)
		return keep, f.decoding
	}
	return keep, nil
}

// suspectAt is the number of redeliveries from which on a job runs alone in its
// worker: half of those that make it poison, 1 to 3. A job is handed out that often
// before it can be told whether it or a neighbour kills the worker. The lower the
// number, the more jobs are suspected because a worker was killed from outside. The
// higher it is, the more counts a job gains from neighbours that kill: with half, two
// such neighbours at the same time do not make it poison.
func suspectAt(maxRedeliveries int) int { return min(max(maxRedeliveries/2, 1), 3) }

// decideBounce puts a job back that this worker cannot run for a reason that may
// pass. The bound is one of time, since the number of tries depends on how many such
// workers there are.
func decideBounce(f facts, keep Verdict, reason string, err error) (Verdict, error) {
	keep.Bounces++
	if keep.BouncedSince.IsZero() {
		keep.BouncedSince = f.now.UTC().Truncate(time.Millisecond)
	}
	if f.now.Sub(keep.BouncedSince) > f.bounceTimeout {
		keep.die(reason)
		return keep, fmt.Errorf("put back %d times since %s: %w", keep.Bounces-1, keep.BouncedSince.Format(time.RFC3339), err)
	}
	keep.retry(f.backoff, f.maxDelay)
	return keep, err
}

// retry puts the job back for d, within what the driver can do.
func (v *Verdict) retry(d, most time.Duration) {
	v.Outcome, v.Delay, v.Capped = OutcomeRetry, max(d, 0), false
	if v.Delay > most {
		v.Delay, v.Capped = most, true
	}
}

// die makes the job a dead letter.
func (v *Verdict) die(reason string) { v.Outcome, v.Reason = OutcomeDead, reason }
