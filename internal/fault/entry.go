package fault

import (
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
)

// CheckEntry is the error of an entry to import that is beyond the bounds, which are those
// of the driver: with a state that is none, a delay that is not from zero to maxDelay, or is
// that of a job which is not scheduled, or a count that is not from zero to maxCount. It is
// nil for any other.
func (m Maker) CheckEntry(queue string, e *driver.Entry, maxDelay time.Duration, maxCount int) error {
	if e.State != driver.StateScheduled {
		maxDelay = 0
	}
	var err error
	switch {
	case e.State < driver.StateWaiting || e.State > driver.StateDead:
		err = fmt.Errorf("the state %d is none", e.State)
	case e.Delay < 0 || e.Delay > maxDelay:
		err = fmt.Errorf("the delay %s of a %s job is not from 0 to %s", e.Delay, e.State, maxDelay)
	case min(e.Failures, e.Bounces, e.Deliveries) < 0 || max(e.Failures, e.Bounces, e.Deliveries) > maxCount:
		err = fmt.Errorf("of %d failures, %d bounces and %d deliveries one is not from 0 to %d", e.Failures, e.Bounces, e.Deliveries, maxCount)
	default:
		return nil
	}
	return m.Refuse("import", queue, driver.ErrConfig, err, "")
}
