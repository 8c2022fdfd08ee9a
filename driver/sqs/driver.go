package sqs

import (
	"context"
	"sync"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/batch-go/batch/driver"
)

// Name is the driver's name.
const Name = "sqs"

// Both types are drivers that hold jobs back. What else SQS might seem to offer,
// and why it is not here, is in the package's documentation.
var (
	_ driver.Driver  = (*Driver)(nil)
	_ driver.Delayer = (*Driver)(nil)
	_ driver.Driver  = (*FIFODriver)(nil)
	_ driver.Delayer = (*FIFODriver)(nil)
)

// Driver is a connection to SQS whose queues are standard queues. It is made by
// [Open] or [New].
type Driver struct{ base }

// FIFODriver is a connection to SQS whose queues are FIFO queues, each with a
// standard queue for what is delayed. It is made by [OpenFIFO] or [NewFIFO].
type FIFODriver struct{ base }

// The limits that do not depend on the size of messages.
const (
	// requestEntries is how many messages a batch request takes, and
	// requestBytes how many bytes in all, attributes included:
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
	requestEntries = 10
	requestBytes   = 1 << 20

	// settleBatch is ten requests, which run in parallel: a worker settles one
	// batch at a time, so that with one request of 20 ms it would end 500 jobs a
	// second at most. More would be of use only to a worker with more than a
	// hundred jobs ending within one round trip.
	settleBatch = 10 * requestEntries

	// maxHeaders is what fits beside the largest body in the worst encoding.
	maxHeaders = 24 << 10
	// overhead is what is kept free of a message for everything but its body:
	// headers, which JSON may double, the text of an error, of which it may make
	// six bytes from one, and names and numbers.
	overhead = 64 << 10

	minLease = time.Second
	// maxLease is SQS's own bound of a visibility timeout.
	maxLease = 12 * time.Hour
	// maxDelay is carried by copies, so nothing in SQS bounds it: ten years are
	// enough to tell a bug from a plan.
	maxDelay = 10 * 365 * 24 * time.Hour
)

// limitsFor are the limits with messages of at most size bytes.
func limitsFor(size int) driver.Limits {
	// A body that SQS does not take as text grows by a third in base64.
	body := (size - overhead) / 4 * 3
	return driver.Limits{
		MaxBody: body, MaxHeaders: maxHeaders,
		EnqueueBatch: requestEntries,
		EnqueueBytes: max(body+maxHeaders, requestBytes),
		Publishers:   publishers,
		ReceiveBatch: requestEntries,
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

// base is what the drivers share.
type base struct {
	client *awssqs.Client
	config config
	info   driver.Info
	// idle closes the connections that are not in use, nil on a client of the
	// caller's.
	idle func()

	queues   sync.Map // queue name to *queue
	listings listings

	// cut ends when Close gives up waiting.
	cut    context.Context
	sever  context.CancelFunc
	closed chan struct{} // closed when no more calls are taken

	mu        sync.Mutex // guards following
	closing   bool
	over      bool // no more calls; closed is closed
	consumers map[*consumer]struct{}
	calls     sync.WaitGroup // calls under way; Add only while not over
	finished  chan struct{}  // closed when Close has ended; nil before it began
}

// setup fills in a base that has its client, config and info.
func (b *base) setup() {
	b.cut, b.sever = context.WithCancel(context.Background())
	b.closed = make(chan struct{})
	b.consumers = make(map[*consumer]struct{})
}

// Info describes the driver and what it is connected to.
func (b *base) Info() driver.Info { return b.info }

// MaxDelay is ten years, while a worker serves the queue; without one, SQS
// drops any job, delayed or not, after the queue's retention.
func (b *base) MaxDelay() time.Duration { return maxDelay }

// enter begins a call of the driver: it counts as under way until the returned
// function is called, and its context ends when Close gives up waiting.
func (b *base) enter(ctx context.Context, op, queue string) (context.Context, func(), error) {
	b.mu.Lock()
	if b.over {
		b.mu.Unlock()
		return nil, nil, closed(op, queue)
	}
	if err := ctx.Err(); err != nil {
		b.mu.Unlock()
		return nil, nil, fail(op, queue, notSent{err})
	}
	b.calls.Add(1)
	b.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(b.cut, cancel)
	return ctx, func() {
		stop()
		cancel()
		b.calls.Done()
	}, nil
}

// Close ends the connection and the consumers on it. It waits for calls under
// way, and for the long polls, until ctx ends, and then cuts them off. A client
// that was passed to [New] is left as it is.
func (b *base) Close(ctx context.Context) error {
	b.mu.Lock()
	if b.finished != nil {
		finished := b.finished
		b.mu.Unlock()
		select {
		case <-finished:
		case <-ctx.Done():
		}
		return nil
	}
	b.finished = make(chan struct{})
	b.closing = true
	consumers := make([]*consumer, 0, len(b.consumers))
	for c := range b.consumers {
		consumers = append(consumers, c)
	}
	b.mu.Unlock()
	defer close(b.finished)

	// The consumers leave while calls still work: they give jobs back.
	var left sync.WaitGroup
	for _, c := range consumers {
		left.Go(func() { _ = c.Close(ctx) })
	}
	left.Wait()

	b.mu.Lock()
	b.over = true
	close(b.closed)
	b.mu.Unlock()
	idle := make(chan struct{})
	go func() {
		b.calls.Wait()
		close(idle)
	}()
	var err error
	select {
	case <-idle:
	case <-ctx.Done():
		err = fail("close", "", ctx.Err())
	}
	b.sever()
	<-idle
	b.dropListings()
	if b.idle != nil {
		b.idle()
	}
	return err
}
