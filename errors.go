package batch

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/batch-go/batch/driver"
)

// What went wrong at the broker, for errors.Is. These are the values of package
// driver, which documents what each of them lets you assume.
var (
	ErrClosed       = driver.ErrClosed
	ErrUnavailable  = driver.ErrUnavailable
	ErrUnauthorized = driver.ErrUnauthorized
	ErrNotFound     = driver.ErrNotFound
	ErrConflict     = driver.ErrConflict
	ErrTooLarge     = driver.ErrTooLarge
	ErrFull         = driver.ErrFull
	ErrDuplicate    = driver.ErrDuplicate
	ErrKeyHeld      = driver.ErrKeyHeld
	ErrLeaseLost    = driver.ErrLeaseLost
	ErrUnsupported  = driver.ErrUnsupported
	ErrConfig       = driver.ErrConfig
	ErrBroker       = driver.ErrBroker
)

// ErrUncommitted is the failure of a job whose handler called [CompleteTx] and
// returned nil, and whose transaction was not committed.
var ErrUncommitted = errors.New("batch: the transaction that completes the job was not committed")

// Mistakes of the program, for errors.Is. Nothing was sent.
var (
	// ErrInvalid: a name, option or argument is out of its bounds. The error is
	// an [*InvalidError] that names it.
	ErrInvalid = errors.New("invalid")
	// ErrCapability: the broker lacks a capability that the program relies on.
	// The error is a [*CapabilityError].
	ErrCapability = errors.New("capability missing")
	// ErrStarted: the worker was already started.
	ErrStarted = errors.New("worker already started")
	// ErrStopped: the worker has stopped, or was told to, and runs only once. For
	// errors.Is it is ErrStarted too.
	ErrStopped error = stoppedError{}
)

// stoppedError is ErrStopped.
type stoppedError struct{}

func (stoppedError) Error() string        { return "worker has stopped, and runs only once" }
func (stoppedError) Is(target error) bool { return target == ErrStarted }

// Why the context of a running handler was cancelled, for context.Cause.
var (
	// ErrTimeout: the job ran for longer than its timeout, which is a failure of
	// the handler. The context's Err is context.DeadlineExceeded, and for
	// errors.Is this error is too.
	ErrTimeout error = timeoutError{}
	// ErrShutdown: the worker is stopping, and has no time left for the job. If
	// the handler returns an error, the job is given back without spending an
	// attempt.
	ErrShutdown = errors.New("batch: worker is shutting down")
)

// timeoutError is the type of [ErrTimeout].
type timeoutError struct{}

func (timeoutError) Error() string        { return "batch: job timed out" }
func (timeoutError) Timeout() bool        { return true }
func (timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// InvalidError says which input is out of bounds. It wraps [ErrInvalid], and
// [ErrTooLarge] if a size is.
type InvalidError struct {
	// Field names the input: "queue name", "header", "Delay".
	Field string
	// Value is the offending value, shortened if it is long.
	Value string
	// Bound says what is allowed.
	Bound string
	// Err is the cause, possibly nil.
	Err error
}

// Error names the field, the value and the bound.
func (e *InvalidError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "batch: invalid %s", e.Field)
	if e.Value != "" {
		fmt.Fprintf(&b, " %s", e.Value)
	}
	if e.Bound != "" {
		fmt.Fprintf(&b, ": must be %s", e.Bound)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

// Unwrap returns ErrInvalid and the cause.
func (e *InvalidError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrInvalid}
	}
	return []error{ErrInvalid, e.Err}
}

// Fate says what is known about an enqueue that failed.
type Fate = driver.Fate

// The fates of a job whose enqueue failed.
const (
	// FateUnknown: the broker may have stored the job, because the connection
	// broke or the context ended while the request was under way. Enqueueing it
	// again may store it twice.
	FateUnknown = driver.FateUnknown
	// FateNotStored: the job is certainly not stored.
	FateNotStored = driver.FateNotStored
)

// EnqueueError says what became of a valid job that the broker did not confirm.
type EnqueueError struct {
	// ID is the ID of the job, and Queue the name of its queue.
	ID, Queue string
	// Fate tells whether the job may be stored nevertheless.
	Fate Fate
	// Err is the cause: the driver's error, or the context's.
	Err error
}

// Error names the job, its fate and the cause.
func (e *EnqueueError) Error() string {
	return fmt.Sprintf("batch: enqueue job %s on queue %s (%s): %v", e.ID, e.Queue, e.Fate, e.Err)
}

// Unwrap returns the cause.
func (e *EnqueueError) Unwrap() error { return e.Err }

// ManyError is the error of [Queue.EnqueueMany] and [Import] when some jobs were not confirmed.
// The results tell which.
type ManyError struct {
	// Unconfirmed of Total jobs were not confirmed: Refused + NotStored + MaybeStored.
	Unconfirmed, Total int
	// Refused jobs are invalid, or need what the broker lacks, and nothing of them
	// was sent.
	Refused int
	// NotStored jobs are certainly not stored. They may be enqueued again.
	NotStored int
	// MaybeStored jobs may be stored, and run. Enqueueing one again may store it
	// twice.
	MaybeStored int

	errs []error
}

// add counts the error of one job.
func (e *ManyError) add(err error) {
	e.Unconfirmed++
	e.errs = append(e.errs, err)
	switch fateOf(err) {
	case FateNotStored:
		if errors.Is(err, ErrInvalid) || errors.Is(err, ErrCapability) {
			e.Refused++
		} else {
			e.NotStored++
		}
	default:
		e.MaybeStored++
	}
}

// manyError is the error of a call with these results, or nil.
func manyError(results []Result) error {
	var failed ManyError
	for i := range results {
		if err := results[i].Err; err != nil {
			failed.add(err)
		}
	}
	if failed.Unconfirmed == 0 {
		return nil
	}
	failed.Total = len(results)
	return &failed
}

// fateOf is the fate of a job whose enqueue failed with err.
func fateOf(err error) Fate {
	var sent *EnqueueError
	if errors.As(err, &sent) {
		return sent.Fate
	}
	return FateNotStored // it failed before anything was sent
}

// Error counts the jobs that were not confirmed, by what is known of them, and shows
// the first error.
func (e *ManyError) Error() string {
	var kinds []string
	for _, k := range []struct {
		n    int
		what string
	}{{e.Refused, "refused"}, {e.NotStored, "not stored"}, {e.MaybeStored, "maybe stored"}} {
		if k.n > 0 {
			kinds = append(kinds, fmt.Sprintf("%d %s", k.n, k.what))
		}
	}
	return fmt.Sprintf("batch: %d of %d jobs were not confirmed (%s), the first: %v", e.Unconfirmed, e.Total, strings.Join(kinds, ", "), e.errs[0])
}

// Unwrap returns the errors of the jobs that failed, in their order.
func (e *ManyError) Unwrap() []error { return e.errs }
