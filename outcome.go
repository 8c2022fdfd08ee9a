package batch

import (
	"errors"
	"fmt"
	"time"
)

// Return is what the error that a handler returned asks for, as [OutcomeOf] reads it.
type Return struct {
	Kind ReturnKind
	// Delay is that of Snooze and RetryAfter, zero for the others.
	Delay time.Duration
}

// ReturnKind is what a handler asks for.
type ReturnKind uint8

// What a handler can ask for.
const (
	// ReturnDone: it returned nil.
	ReturnDone ReturnKind = iota + 1
	// ReturnRetry: it failed, and the retry policy has the delay. On its last attempt
	// the job becomes a dead letter instead.
	ReturnRetry
	// ReturnRetryAfter: the same with a delay of its own. See [RetryAfter].
	ReturnRetryAfter
	// ReturnSnooze: the job comes back later, and has not failed. See [Snooze].
	ReturnSnooze
	// ReturnPermanent: it failed, and no retry can succeed. See [Permanent].
	ReturnPermanent
)

// String is the kind in words.
func (k ReturnKind) String() string {
	switch k {
	case ReturnDone:
		return "done"
	case ReturnRetry:
		return "retry"
	case ReturnRetryAfter:
		return "retry after"
	case ReturnSnooze:
		return "snooze"
	case ReturnPermanent:
		return "permanent"
	}
	return "invalid"
}

// Failed tells whether it spends an attempt.
func (k ReturnKind) Failed() bool {
	return k == ReturnRetry || k == ReturnRetryAfter || k == ReturnPermanent
}

// OutcomeOf reads what a handler asks for with the error that it returned, for
// middleware and tests. The worker reads it with this function too. What becomes of
// the job also depends on its attempts, and on whether the worker is stopping:
// [Verdict] has that. If several of [Permanent], [Snooze] and [RetryAfter] are in the
// error, this is their order.
func OutcomeOf(err error) Return {
	if err == nil {
		return Return{Kind: ReturnDone}
	}
	// AsType allocates nothing, and this is read several times of each error.
	if _, is := errors.AsType[*permanentError](err); is {
		return Return{Kind: ReturnPermanent}
	}
	if snooze, is := errors.AsType[*snoozeError](err); is {
		return Return{Kind: ReturnSnooze, Delay: snooze.delay}
	}
	if after, is := errors.AsType[*retryAfterError](err); is {
		return Return{Kind: ReturnRetryAfter, Delay: after.delay}
	}
	return Return{Kind: ReturnRetry}
}

// Permanent marks an error as one that no retry can fix: when a handler returns
// it, the job is dead-lettered at once. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// permanentError is what Permanent makes.
type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Snooze, returned by a handler, makes the job come back after d without
// spending an attempt. A negative d counts as zero.
func Snooze(d time.Duration) error { return &snoozeError{max(d, 0)} }

// snoozeError is what Snooze makes.
type snoozeError struct{ delay time.Duration }

func (e *snoozeError) Error() string { return fmt.Sprintf("snoozed for %s", e.delay) }

// RetryAfter, returned by a handler, is a failure with err whose retry comes after
// d instead of the retry policy's delay. It spends an attempt, and the last
// attempt dead-letters the job. A negative d counts as zero. A nil err is replaced
// by one that says that the handler asked for a retry.
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		err = errors.New("retry requested by the handler")
	}
	return &retryAfterError{max(d, 0), err}
}

// retryAfterError is what RetryAfter makes.
type retryAfterError struct {
	delay time.Duration
	err   error
}

func (e *retryAfterError) Error() string { return e.err.Error() }
func (e *retryAfterError) Unwrap() error { return e.err }

// Unreadable, returned by a codec's Decode, says that the body cannot be decoded now,
// but may be later: its key is not known yet, or the store that it is in does not
// answer. The job is put back and comes again, as one of an unknown kind does, for up
// to WorkerConfig.BounceTimeout. No attempt is spent. Any other error of a codec
// dead-letters the job at once. Unreadable(nil) is nil.
func Unreadable(err error) error {
	if err == nil {
		return nil
	}
	return &unreadableError{err}
}

// unreadableError is what Unreadable makes.
type unreadableError struct{ err error }

func (e *unreadableError) Error() string { return e.err.Error() }
func (e *unreadableError) Unwrap() error { return e.err }

// isUnreadable tells whether Unreadable made err, or an error inside of it.
func isUnreadable(err error) bool {
	if err == nil {
		return false
	}
	_, is := errors.AsType[*unreadableError](err)
	return is
}
