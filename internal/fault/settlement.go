package fault

import (
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
)

// CheckSettlement is the error of a settlement that only a faulty core makes: with an
// outcome that is none, or a delay that is not from zero to maxDelay. The delivery is not
// touched. It is nil for any other.
func (m Maker) CheckSettlement(queue string, s *driver.Settlement, maxDelay time.Duration) error {
	var err error
	switch {
	case s.Outcome < driver.OutcomeDone || s.Outcome > driver.OutcomeDead:
		err = fmt.Errorf("outcome %d is none", s.Outcome)
	case s.Outcome == driver.OutcomeRetry && (s.Delay < 0 || s.Delay > maxDelay):
		err = fmt.Errorf("the delay %s is not from 0 to %s", s.Delay, maxDelay)
	default:
		return nil
	}
	return m.Refuse("settle", queue, driver.ErrConfig, err, "")
}
