package amqp

import (
	"time"

	"github.com/batch-go/batch/driver"
)

// Name is the driver's name.
const Name = "amqp"

const (
	// maxBody is RabbitMQ's max_message_size, which counts the body alone:
	// https://www.rabbitmq.com/docs/configure. A broker where it is less refuses
	// larger ones with driver.ErrTooLarge.
	maxBody = 16 << 20
	// maxHeaders: all headers go in one frame, which by default is at most
	// 128 KiB; the rest is for the driver's own, and for those that the broker
	// adds on the way through the ladder.
	maxHeaders = 64 << 10
	// batchSize: what is in one call is confirmed before the call returns. Far
	// fewer leave the broker idle in between; more only wait for the last.
	batchSize = 1000
	// publishers: with one call under way, the broker would idle while its last
	// confirms travel and the next call is put together.
	publishers = 8
	// maxDelay: ten years are enough to tell a bug from a plan.
	maxDelay = 10 * 365 * 24 * time.Hour
)

func limits(frame int) driver.Limits {
	headers := maxHeaders
	if frame > 0 {
		headers = min(headers, frame/2) // the broker's frame_max may be less
	}
	return driver.Limits{
		MaxBody:       maxBody,
		MaxHeaders:    headers,
		EnqueueBatch:  batchSize,
		EnqueueBytes:  maxBody + maxHeaders,
		Publishers:    publishers,
		ReceiveBatch:  batchSize,
		Receivers:     4,
		SettleBatch:   batchSize,
		ExtendBatch:   10 * batchSize,
		MaxRetryDelay: maxDelay,
	}
}

// Driver is a connection to RabbitMQ that keeps jobs in quorum queues. It is made
// by [Open].
type Driver struct{ *handle }

// PriorityDriver is a [Driver] whose queues hand out jobs strictly by priority.
// It is made by [OpenPriority].
type PriorityDriver struct{ *handle }

var (
	_ driver.Driver      = (*Driver)(nil)
	_ driver.Delayer     = (*Driver)(nil)
	_ driver.Driver      = (*PriorityDriver)(nil)
	_ driver.Delayer     = (*PriorityDriver)(nil)
	_ driver.Prioritizer = (*PriorityDriver)(nil)
)

// PriorityLevels is five.
func (d *PriorityDriver) PriorityLevels() int {
	return int(driver.Critical-driver.Trivial) + 1
}

// Info describes the driver and the broker as they were when it was opened.
func (h *handle) Info() driver.Info { return h.info }

// MaxDelay is ten years.
func (h *handle) MaxDelay() time.Duration { return maxDelay }
