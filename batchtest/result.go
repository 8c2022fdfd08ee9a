package batchtest

import (
	"fmt"
	"time"

	"github.com/batch-go/batch"
)

// Result is what became of a job when it was handed to a worker: the job as the handler got it, what the handler
// returned, and the worker's verdict. Err is nil if the handler succeeded, and [batch.OutcomeOf] reads it. If
// Started is false, the handler was not called, and Err says why.
type Result struct {
	batch.JobEnd
	// EndedAt is when the job's fate was decided.
	EndedAt time.Time
}

// newResult is the result at the present time.
func newResult(e batch.JobEnd) Result { return Result{JobEnd: e, EndedAt: time.Now()} }

// String is the result in one line.
func (r Result) String() string {
	text := fmt.Sprintf("attempt %d of %d: %s", r.Job.Attempt, r.Job.MaxAttempts, r.Verdict.Outcome)
	switch r.Verdict.Outcome {
	case batch.OutcomeRetry:
		text += fmt.Sprintf(" after %s", r.Verdict.Delay)
	case batch.OutcomeDead:
		text += fmt.Sprintf(" (%s)", r.Verdict.Reason)
	}
	if r.Err != nil {
		text += ": " + r.Err.Error()
	}
	return text
}
