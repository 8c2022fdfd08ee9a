package sqs

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/lifecycle"
)

// Both types are drivers that hold jobs back, import jobs and list queues. The
// package documentation says why they have no other capability.
var (
	_ driver.Driver      = (*Driver)(nil)
	_ driver.Delayer     = (*Driver)(nil)
	_ driver.Importer    = (*Driver)(nil)
	_ driver.QueueLister = (*Driver)(nil)
	_ driver.Driver      = (*FIFODriver)(nil)
	_ driver.Delayer     = (*FIFODriver)(nil)
	_ driver.Importer    = (*FIFODriver)(nil)
	_ driver.QueueLister = (*FIFODriver)(nil)
)

// Driver is a connection to SQS whose queues are standard queues. It is made by
// [Open] or [New].
type Driver struct{ base }

// FIFODriver is a connection to SQS whose queues are FIFO queues, each with a
// standard queue for what is delayed. It is made by [OpenFIFO] or [NewFIFO].
type FIFODriver struct{ base }

// The limits that do not depend on the size of messages.
const (
	// settleBatch is ten requests, which run in parallel: a worker settles one
	// batch at a time, so that with one request of 20 ms it would end 500 jobs a
	// second at most. More would be of use only to a worker with more than a
	// hundred jobs ending within one round trip.
	settleBatch = 10 * maxEntries

	// maxHeaders is what fits beside the largest body in the worst encoding.
	maxHeaders = 24 << 10
	// overhead is what is kept free of a message for everything but its body:
	// headers, which JSON may double, the text of an error, of which it may make
	// six bytes from one, and names and numbers.
	overhead = 64 << 10

	minLease = time.Second
	// maxLease is SQS's own bound of a visibility timeout.
	maxLease = 12 * time.Hour
)

// limitsFor are the limits with messages of at most size bytes.
func limitsFor(size int) driver.Limits {
	// A body that SQS does not take as text grows by a third in base64.
	body := (size - overhead) / 4 * 3
	return driver.Limits{
		MaxBody: body, MaxHeaders: maxHeaders,
		EnqueueBatch: maxEntries,
		EnqueueBytes: max(body+maxHeaders, maxRequestBytes),
		Publishers:   publishers,
		ReceiveBatch: maxEntries,
		Receivers:    receivers,
		SettleBatch:  settleBatch, ExtendBatch: settleBatch,
		MinLease: minLease, MaxLease: maxLease,
		MaxRetryDelay: maxDelay,
	}
}

const (
	// publishers is how many requests of ten are under way for a queue: at 20 ms
	// each 4000 jobs a second. More make the batches of a few producers smaller
	// and so cost money.
	publishers = 8
	// receivers bounds the polls of a consumer: at 20 ms for ten jobs 8000 a
	// second.
	receivers = 16
)

// base is what both types are made of.
type base struct {
	client client
	config config
	info   driver.Info
	// closeIdle closes the connections that are not in use, nil on a client of the
	// caller's.
	closeIdle func()

	queues   sync.Map // queue name to *knownQueue
	seen     sync.Map // the names of queues that existed when they were last looked for
	gone     sync.Map // queue name to when it was last seen not to exist, a time.Duration since epoch
	listings listings

	handle lifecycle.Handle
	// alive ends when Close gives up waiting, by cutOff, with errCutOff as its cause.
	alive  context.Context
	cutOff context.CancelFunc
}

// Info describes the driver and what it is connected to.
func (b *base) Info() driver.Info { return b.info }

// MaxDelay is ten years, while a worker serves the queue; without one, SQS
// drops any job, delayed or not, after the queue's retention.
func (b *base) MaxDelay() time.Duration { return maxDelay }

// Format prints the driver's name, by every verb: what else it has is for itself, and
// may be in use.
func (b *base) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Name+" driver") }

// begin begins a call of the driver: it counts as under way until end is called,
// and its context ends when Close gives up waiting, with errCutOff as its cause.
func (b *base) begin(ctx context.Context, op, queue string) (_ context.Context, end func(), err error) {
	if err := b.handle.Begin(ctx); err != nil {
		return nil, nil, fail(op, queue, err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(b.alive, func() { cancel(errCutOff) })
	return ctx, func() {
		stop()
		cancel(nil)
		b.handle.End()
	}, nil
}

// Close ends the connection and the consumers on it. It waits for calls under
// way, and for the long polls, until ctx ends, and then cuts them off. A client
// that was passed to [New] is left as it is.
func (b *base) Close(ctx context.Context) error {
	err := b.handle.Close(ctx, func() bool {
		b.cutOff()
		return true
	})
	b.listings.drop(func(*listing) bool { return true })
	if b.closeIdle != nil {
		b.closeIdle()
	}
	return fail("close", "", err)
}
