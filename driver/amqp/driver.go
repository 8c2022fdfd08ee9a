package amqp

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
)

// Driver is a connection to RabbitMQ that keeps jobs in quorum queues. It is made
// by [Open].
type Driver struct{ *base }

// PriorityDriver is a [Driver] whose queues hand out jobs strictly by priority.
// It is made by [OpenPriority].
type PriorityDriver struct{ *base }

var (
	_ driver.Driver      = (*Driver)(nil)
	_ driver.Delayer     = (*Driver)(nil)
	_ driver.Importer    = (*Driver)(nil)
	_ driver.Purger      = (*Driver)(nil)
	_ driver.Driver      = (*PriorityDriver)(nil)
	_ driver.Delayer     = (*PriorityDriver)(nil)
	_ driver.Prioritizer = (*PriorityDriver)(nil)
	_ driver.Importer    = (*PriorityDriver)(nil)
	_ driver.Purger      = (*PriorityDriver)(nil)
)

const (
	// maxHeaders: all headers go in one frame, which by default is at most
	// 128 KiB; the rest is for the driver's own, and for those that the broker
	// adds on the way through the delay queues.
	maxHeaders = 64 << 10
	// publishers: with one call under way, the broker would idle while its last
	// confirms travel and the next call is put together.
	publishers = 8
	// receivers: the calls take what the broker has pushed; more gain nothing.
	receivers = 4
)

// limitsFor are the limits on a connection whose frames have at most frame bytes.
func limitsFor(frame int) driver.Limits {
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
		Receivers:     receivers,
		Pushes:        true,
		SettleBatch:   batchSize,
		ExtendBatch:   10 * batchSize,
		MaxRetryDelay: maxDelay,
	}
}

// Info describes the driver and the broker as they were when it was opened.
func (b *base) Info() driver.Info { return b.info }

// MaxDelay is ten years.
func (b *base) MaxDelay() time.Duration { return maxDelay }

// PriorityLevels is five.
func (d *PriorityDriver) PriorityLevels() int { return levelCount }

// Close ends the connections and the consumers on them. It waits for the calls
// under way until ctx ends, and then cuts the connections.
func (b *base) Close(ctx context.Context) error {
	var errs [2]error
	first := false // a second Close cuts nothing, and does not wait for the tasks
	err := b.calls.Close(ctx, func() bool {
		first = true
		b.end()
		var closing sync.WaitGroup
		closing.Go(func() { errs[0] = b.publishing.close(ctx) })
		closing.Go(func() { errs[1] = b.consumers.close(ctx) })
		closing.Wait()
		return true
	})
	if first {
		b.awaitTasks(ctx)
	}
	return fail("close", "", cmp.Or(err, errs[0], errs[1]))
}

// awaitTasks waits for what calls may have left behind. It has nothing left to wait
// for, so that little time is enough when ctx has ended.
func (b *base) awaitTasks(ctx context.Context) {
	idle := make(chan struct{})
	go func() {
		b.tasks.Wait()
		close(idle)
	}()
	select {
	case <-idle:
		return
	case <-ctx.Done():
	}
	select {
	case <-idle:
	case <-time.After(lastTime):
	}
}

// lastTime is how long Close waits for the tasks after its ctx has ended.
const lastTime = 50 * time.Millisecond
