package batch

import (
	"fmt"

	"github.com/batch-go/batch/driver"
)

// Remedy is what a worker does, at once, about a job that the broker refused to store
// with the history of its failures, because it is too large with it. It is part of a
// [Fault]. If one does not help, the next one is tried.
type Remedy string

const (
	// RemedyShorten: the text of the last error is cut, and says so.
	RemedyShorten Remedy = "error shortened"
	// RemedyDeadLetter: the job is dead-lettered instead of being retried, with
	// [ReasonTooLarge].
	RemedyDeadLetter Remedy = "dead-lettered"
	// RemedyStrip: the dead letter is stored without the job's headers, and the text of
	// its last error says so.
	RemedyStrip Remedy = "headers removed"
)

// refitText is how long the text of an error may be, in bytes, once the job did not fit
// with a longer one.
const refitText = 200

// refit changes a settlement that the broker refused as too large, so that it takes less,
// and returns how. It returns "" if there is no way left. What a settlement is shows what
// was tried: a long text was not cut, and a retry not given up.
func refit(s *driver.Settlement, refusal error) Remedy {
	switch {
	case s.Strip || s.Outcome != OutcomeRetry && s.Outcome != OutcomeDead:
		return ""
	case len(s.Error) > refitText:
		const mark = " [shortened, as the job is too large for the broker]"
		s.Error = shortenTo(s.Error, refitText-len(mark)) + mark
		return RemedyShorten
	case s.Outcome == OutcomeRetry:
		s.Outcome, s.Delay, s.Reason = OutcomeDead, 0, ReasonTooLarge
		s.Error = shortenTo("too large for the broker with its history; last error: "+s.Error, refitText)
		return RemedyDeadLetter
	}
	s.Strip = true
	s.Error = shortenTo(fmt.Sprintf("headers of %d bytes are missing, as the job did not fit with them (%s); last error: %s",
		s.Delivery.HeaderSize(), shortenTo(textOf(refusal), refitText/2), s.Error), 2*refitText)
	return RemedyStrip
}
