package sqs

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/wire"
)

// maxLocalDelay is the longest that a job is kept in the process until it is due:
// what SQS, which counts whole seconds, did not hold it back for.
const maxLocalDelay = time.Second

// receipt is a message that SQS handed out, and the Receipt of its delivery.
type receipt struct {
	url, handle string
	id, body    string
	// attribute is what meta was read from; empty if the message has none.
	attribute string
	meta      meta
	err       error // why it is no job
	// received is how often SQS handed out the message, this time included.
	received int
	// By SQS's clocks: when the message was sent, when it was first handed out,
	// and when the request that brought it was answered, in whole seconds.
	sent, first, answered time.Time

	// taken is when the message was here, since epoch.
	taken time.Duration
	// until is when the lease ends, since epoch. SQS itself is not strict: on a
	// standard queue it deletes by a handle whose lease ended, and extends it, as
	// long as nobody else has received the message:
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html
	// So the driver keeps the time itself.
	until   atomic.Int64
	settled atomic.Bool
	// busy is set while a call settles the delivery.
	busy atomic.Bool
	// stored is set when the message that takes its place is stored: a settlement
	// that is tried again only deletes.
	stored atomic.Bool
}

// newReceipt reads a message as SQS handed it out. What cannot be read as a job is
// noted in its err; the error is of an answer that is none of SQS's.
func newReceipt(url string, m *types.Message, answered time.Time) (*receipt, error) {
	system, err := readSystemAttributes(m)
	r := &receipt{url: url, received: system.received, sent: system.sent, first: system.first, answered: answered, taken: sinceEpoch()}
	if m.Body != nil {
		r.body = *m.Body
	}
	if m.MessageId != nil {
		r.id = *m.MessageId
	}
	if m.ReceiptHandle != nil {
		r.handle = *m.ReceiptHandle
	}
	if a, ok := m.MessageAttributes[attributeName]; ok && a.StringValue != nil {
		r.attribute = *a.StringValue
		r.meta, r.err = readMeta(r.attribute)
	} else {
		r.err = errNoMeta
	}
	if r.meta.ID == "" {
		r.meta.ID = r.id
	}
	switch {
	case err != nil:
	case !wire.IsToken(r.id) || r.handle == "":
		err = lacking{"the MessageId or the ReceiptHandle of a message"}
	default:
		err = checkReceived(m)
	}
	return r, err
}

// size is what SQS counts of the message, but for attributes of others.
func (r *receipt) size() int { return messageSize(r.body, r.attribute) }

// epoch is what leases are counted from, by the monotonic clock.
var epoch = time.Now()

// sinceEpoch is the time now, as receipt.until has it.
func sinceEpoch() time.Duration { return time.Since(epoch) }

// heldReceipt is that of a delivery, if it can still be settled; else nil. goneAt is
// when its queue was last seen not to exist.
func heldReceipt(d *driver.Delivery, goneAt time.Duration) *receipt {
	r, ok := d.Receipt.(*receipt)
	if !ok || r.taken <= goneAt || r.settled.Load() || int64(sinceEpoch()) >= r.until.Load() {
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
		Bounces: r.meta.Bounces, BouncedSince: timeOf(r.meta.Bounced),
		Deliveries:   r.deliveries(),
		Redeliveries: r.lost(),
		Receipt:      r,
	}, nil
}

// deliveries is how often the job was handed out, this time included.
func (r *receipt) deliveries() int { return r.meta.Deliveries + r.received }

// lost is how often a holder vanished with the job since it was last settled with
// another outcome than a release. Whatever else would be counted by SQS makes a new
// message, so every time but this one was such a holder.
func (r *receipt) lost() int { return r.meta.Lost + r.received - 1 }

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

// miscounted tells that SQS has counted what was no holder: a poll received the
// message before its time and then failed to send it on. How often that was cannot
// be known, only that the first time was of that kind.
func (r *receipt) miscounted() bool {
	due := r.due()
	return r.received > 1 && !due.IsZero() && !r.first.IsZero() && due.Sub(r.first) > maxLocalDelay
}

// notHandedOut is a message that takes the place of this one, of which no job was
// handed out this time, with lost times before it at which a holder vanished. SQS
// counts anew for it. Its time is absolute, as the new message is younger.
func (r *receipt) notHandedOut(lost int, to destination) *entry {
	d := r.meta
	d.Deliveries += lost
	d.Lost += lost
	if due := r.due(); !due.IsZero() {
		d.Delay, d.Due = 0, due.UnixMilli()
	}
	e := &entry{body: r.body, attribute: d.text(), to: to}
	if to == toRetry {
		e.delaySeconds = delaySecondsOf(max(r.untilDue(), 0))
	}
	return e
}

// released is the message that takes the place of this one when its job is given back.
func (r *receipt) released() *entry {
	d := r.meta
	d.Delay, d.Due = 0, 0
	d.Deliveries, d.Lost = r.deliveries(), r.lost()
	return &entry{body: r.body, attribute: d.text(), to: toWork, token: r.token()}
}

// token names the message that takes the place of this one in a FIFO queue, so that a
// try after one of unknown fate stores nothing twice.
func (r *receipt) token() string { return r.id + "." + strconv.Itoa(r.received) }

// unreadable is the dead letter of a message that is no job.
func (r *receipt) unreadable(err error) *entry {
	d := meta{Version: formatVersion, ID: r.id, ContentType: "application/octet-stream",
		history: history{Deliveries: r.received, Error: err.Error(), Reason: driver.ReasonUnreadable}}
	return &entry{body: r.body, attribute: d.text(), to: toDead}
}
