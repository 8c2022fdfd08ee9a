package sqs

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/batch-go/batch/driver"
)

// receipt is a message that SQS handed out, and the Receipt of its delivery.
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

// newReceipt reads a message as SQS handed it out. What cannot be read is noted
// in its err.
func newReceipt(url string, m *types.Message, answered time.Time) *receipt {
	r := &receipt{url: url, received: 1, answered: answered}
	if m.Body != nil {
		r.body = *m.Body
	}
	if m.MessageId != nil {
		r.id = *m.MessageId
	}
	if m.ReceiptHandle != nil {
		r.handle = *m.ReceiptHandle
	}
	r.sent = timestamp(m, types.MessageSystemAttributeNameSentTimestamp)
	r.first = timestamp(m, types.MessageSystemAttributeNameApproximateFirstReceiveTimestamp)
	if n, err := strconv.Atoi(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)]); err == nil && n > 0 {
		r.received = n
	}
	if a, ok := m.MessageAttributes[attributeName]; ok && a.StringValue != nil {
		r.meta, r.err = readMeta(*a.StringValue)
	} else {
		r.err = errNoMeta
	}
	if r.meta.ID == "" {
		r.meta.ID = r.id
	}
	return r
}

// timestamp reads a time that SQS gives in ms since 1970; zero if it does not.
func timestamp(m *types.Message, name types.MessageSystemAttributeName) time.Time {
	ms, err := strconv.ParseInt(m.Attributes[string(name)], 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// epoch is what leases are counted from, by the monotonic clock.
var epoch = time.Now()

// sinceEpoch is the time now, as receipt.until has it.
func sinceEpoch() time.Duration { return time.Since(epoch) }

// heldReceipt is that of a delivery, if it can still be settled; else nil.
func heldReceipt(d *driver.Delivery) *receipt {
	r, ok := d.Receipt.(*receipt)
	if !ok || r.settled.Load() || int64(sinceEpoch()) >= r.until.Load() {
		return nil
	}
	return r
}

// delivery is the job of the message, or an error if its body is not readable.
func (r *receipt) delivery() (*driver.Delivery, error) {
	body, err := decodeBody(r.body, r.meta.Encoding)
	if err != nil {
		return nil, err
	}
	return &driver.Delivery{
		Message:  r.meta.message(body, r.sent),
		Failures: r.meta.Failures, LastError: r.meta.Error,
		Deliveries:   r.meta.Deliveries + r.received,
		Redeliveries: r.received - 1,
		Receipt:      r,
	}, nil
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

// unchanged is a message that takes this one's place as it is. Its time is
// absolute, as the new message is younger.
func (r *receipt) unchanged() *entry {
	d := r.meta
	if due := r.due(); !due.IsZero() {
		d.Delay, d.Due = 0, due.UnixMilli()
	}
	return &entry{body: r.body, attribute: d.text()}
}

// unreadable is the dead letter of a message that is no job.
func (r *receipt) unreadable(err error) *entry {
	d := meta{Version: formatVersion, ID: r.id, ContentType: "application/octet-stream",
		Deliveries: r.received, Error: err.Error(), Reason: driver.ReasonUnreadable}
	return &entry{body: r.body, attribute: d.text()}
}
