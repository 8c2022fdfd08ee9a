package fault

import (
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
)

// CheckReceive is the error of a Receive of fewer jobs than one or more than most, the
// driver's Limits.ReceiveBatch. Nothing is taken. It is nil for any other.
func (m Maker) CheckReceive(queue string, max, most int) error {
	if max >= 1 && max <= most {
		return nil
	}
	return m.Refuse("receive", queue, driver.ErrConfig, fmt.Errorf("max is %d, which is not from 1 to %d", max, most), "")
}

// CheckDelay is the error of a message with a delay that is not from zero to maxDelay.
// Nothing is sent of it. It is nil for any other.
func (m Maker) CheckDelay(op, queue string, msg *driver.Message, maxDelay time.Duration) error {
	if msg.Delay >= 0 && msg.Delay <= maxDelay {
		return nil
	}
	return m.Refuse(op, queue, driver.ErrConfig, fmt.Errorf("job %s has the delay %s, which is not from 0 to %s", msg.ID, msg.Delay, maxDelay), "")
}
