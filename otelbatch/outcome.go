package otelbatch

import (
	"context"
	"errors"
	"reflect"
	"strings"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/batch-go/batch"
)

// ending is what became of one delivery of a job, in words.
type ending struct {
	// outcome is the attribute batch.job.outcome, and reason batch.job.reason.
	outcome, reason string
	// errorType is the attribute error.type, empty if it is no error.
	errorType string
}

// endingOf reads it. A snooze and a drain are no errors, nor is it one that a worker puts a
// job back that it cannot run.
func endingOf(e *batch.JobEnd) ending {
	switch e.Verdict.Outcome {
	case batch.OutcomeDone:
		return ending{outcome: "done"}
	case batch.OutcomeRelease:
		return ending{outcome: "release"}
	case batch.OutcomeRetry:
		if !e.Started {
			return ending{outcome: "bounce"}
		}
		if batch.OutcomeOf(e.Err).Kind == batch.ReturnSnooze {
			return ending{outcome: "snooze"}
		}
		return ending{outcome: "retry", errorType: errorType(e.Err)}
	case batch.OutcomeDead:
		end := ending{outcome: "dead", reason: e.Verdict.Reason, errorType: e.Verdict.Reason}
		if e.Started {
			end.errorType = errorType(e.Err)
		}
		return end
	}
	return ending{outcome: "lost", errorType: "lease_lost"}
}

// errorTypes are the values of error.type for errors that batch knows. The first that fits
// is taken: a job that is too large is invalid too, and what ends with the enqueue timeout
// has the broker's last error beside it.
var errorTypes = []struct {
	err  error
	name string
}{
	{batch.ErrLeaseLost, "lease_lost"},
	{batch.ErrTimeout, "timeout"},
	{batch.ErrShutdown, "shutdown"},
	{batch.ErrTooLarge, "too_large"},
	{batch.ErrFull, "full"},
	{batch.ErrUnavailable, "unavailable"},
	{batch.ErrUnauthorized, "unauthorized"},
	{batch.ErrNotFound, "not_found"},
	{batch.ErrConflict, "conflict"},
	{batch.ErrDuplicate, "duplicate"},
	{batch.ErrClosed, "closed"},
	{batch.ErrUnsupported, "unsupported"},
	{batch.ErrCapability, "capability"},
	{batch.ErrConfig, "config"},
	{batch.ErrBroker, "broker"},
	{batch.ErrInvalid, "invalid"},
	{context.Canceled, "canceled"},
	{context.DeadlineExceeded, "deadline_exceeded"},
}

// errorType is the attribute error.type of an error: a word for what batch knows, "panic",
// or the name of the error's type.
func errorType(err error) string {
	if err == nil {
		return other
	}
	if _, ok := errors.AsType[*batch.PanicError](err); ok {
		return "panic"
	}
	for i := range errorTypes {
		if errors.Is(err, errorTypes[i].err) {
			return errorTypes[i].name
		}
	}
	return clean(semconv.ErrorType(marked(err)).Value.AsString(), mostWord)
}

// marked is what is inside of the marks that batch puts around errors, such as those of
// Permanent and RetryAfter, whose types say nothing of the error.
func marked(err error) error {
	for {
		t := reflect.TypeOf(err)
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		inner := errors.Unwrap(err)
		if inner == nil || !strings.HasPrefix(t.PkgPath()+"/", "github.com/batch-go/batch/") {
			return err
		}
		err = inner
	}
}
