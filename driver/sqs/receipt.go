package sqs

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/batch-go/batch/driver"
)

// receipt is a message in the hands of a consumer.
type receipt struct {
	url, handle string
	id, body    string
	meta        meta
	err         error // why it is no job
	// received is how often SQS handed out the message, this time included.
	received int
	// By SQS's clocks: when the message was sent, when it was first handed out,
	// and when the request that brought it was answered, in whole seconds.
	sent, first, answered time.Time

	// until is when the lease ends, since epoch. SQS itself is not strict: on a
	// standard queue it deletes by a handle whose lease ended, and extends it, as
	// long as nobody else has received the message:
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html
	// So the driver keeps the time itself.
	until   atomic.Int64
	settled atomic.Bool
	// stored is set when the message that takes its place is stored: a settlement
	// that is tried again only deletes.
	stored atomic.Bool
}

// epoch is what leases are counted from, by the monotonic clock.
var epoch = time.Now()

func sinceEpoch() time.Duration { return time.Since(epoch) }

// held tells whether the delivery can still be settled.
func (r *receipt) held() bool {
	return !r.settled.Load() && int64(sinceEpoch()) < r.until.Load()
}

// due is when the job may be handed out, by SQS's clock; zero if it may at once.
func (r *receipt) due() time.Time {
	switch {
	case r.meta.Due != 0:
		return time.UnixMilli(r.meta.Due)
	case r.meta.Delay != 0:
		return r.sent.Add(time.Duration(r.meta.Delay) * time.Millisecond)
	}
	return time.Time{}
}

// again is the attribute of a message that takes this one's place as it is. Its
// time is absolute, as the new message is younger.
func (r *receipt) again() string {
	d := r.meta
	if due := r.due(); !due.IsZero() {
		d.Delay, d.Due = 0, due.UnixMilli()
	}
	return d.text()
}

// untilDue is for how long the job is not to be handed out. What SQS's clock
// says now is not known, but it is not earlier than when the message was first
// handed out, and than the whole second in which the answer was written.
func (r *receipt) untilDue() time.Duration {
	due := r.due()
	if due.IsZero() {
		return 0
	}
	now := r.first
	if r.answered.After(now) {
		now = r.answered
	}
	if now.IsZero() {
		now = time.Now() // a server that tells no time at all
	}
	return due.Sub(now)
}

// lost is the error of a delivery that is not held.
func (c *consumer) lost(op string) error {
	return &driver.Error{Driver: Name, Op: op, Queue: c.queue, Kind: driver.ErrLeaseLost, Fate: driver.FateNotStored}
}

// remove deletes messages, in requests of ten of one SQS queue each. The errors
// are nil if all were.
func (b *base) remove(ctx context.Context, receipts []*receipt) []error {
	return b.byURL(receipts, func(url string, part []*receipt) []error {
		entries := make([]types.DeleteMessageBatchRequestEntry, len(part))
		for i, r := range part {
			entries[i] = types.DeleteMessageBatchRequestEntry{Id: entryIDs[i], ReceiptHandle: &r.handle}
		}
		out, err := b.client.DeleteMessageBatch(ctx, &awssqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: entries})
		if err != nil {
			return all(len(part), err)
		}
		return outcome(len(part), out.Failed, out.Successful, func(e *types.DeleteMessageBatchResultEntry) *string { return e.Id })
	})
}

// hide sets how long from now messages are not handed out to anybody else.
func (b *base) hide(ctx context.Context, receipts []*receipt, visibility int32) []error {
	return b.byURL(receipts, func(url string, part []*receipt) []error {
		entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(part))
		for i, r := range part {
			entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{Id: entryIDs[i], ReceiptHandle: aws.String(r.handle), VisibilityTimeout: visibility}
		}
		out, err := b.client.ChangeMessageVisibilityBatch(ctx, &awssqs.ChangeMessageVisibilityBatchInput{QueueUrl: &url, Entries: entries})
		if err != nil {
			return all(len(part), err)
		}
		return outcome(len(part), out.Failed, out.Successful, func(e *types.ChangeMessageVisibilityBatchResultEntry) *string { return e.Id })
	})
}

// byURL calls do with up to ten receipts of one SQS queue at a time, in parallel,
// and gathers the errors; nil if there are none.
func (b *base) byURL(receipts []*receipt, do func(url string, part []*receipt) []error) []error {
	if len(receipts) == 0 {
		return nil
	}
	var urls []string
	for _, r := range receipts {
		if !slices.Contains(urls, r.url) { // at most two
			urls = append(urls, r.url)
		}
	}
	order, ends := make([]int, 0, len(receipts)), []int(nil)
	for _, url := range urls {
		from := len(order)
		for i, r := range receipts {
			if r.url == url {
				order = append(order, i)
			}
		}
		for _, end := range tens(len(order) - from) {
			ends = append(ends, from+end)
		}
	}
	errs := make([]error, len(receipts))
	var failed atomic.Bool
	b.parallel(ends, func(from, to int) {
		part := make([]*receipt, to-from)
		for i := range part {
			part[i] = receipts[order[from+i]]
		}
		for i, err := range do(part[0].url, part) {
			if err != nil {
				errs[order[from+i]] = err
				failed.Store(true)
			}
		}
	})
	if !failed.Load() {
		return nil
	}
	return errs
}
