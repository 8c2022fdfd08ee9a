package sqs

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/batch-go/batch/driver"
)

// launch starts the polls that there should be: for each source as many as it is
// allowed, and no more than there are Receives waiting. c.mu must be held.
func (c *consumer) launch() {
	if c.closed {
		return
	}
	for i := range c.sources {
		s := &c.sources[i]
		for s.polls < min(s.allowed, len(c.waiters)) {
			s.polls++
			c.work.Add(1)
			go c.poll(i, c.waiters[(s.polls-1)%len(c.waiters)].most)
		}
	}
}

// poll polls one source as long as it should.
func (c *consumer) poll(source, most int) {
	defer c.work.Done()
	for {
		got, err := c.fetch(source, most)
		c.mu.Lock()
		s := &c.sources[source]
		switch {
		case err != nil:
			s.allowed = 1
		case len(got.ready) > 0:
			s.allowed = min(s.allowed+1, receivers)
		default:
			s.allowed = max(s.allowed/2, 1)
		}
		c.ready = append(c.ready, got.ready...)
		for i, d := range got.soon {
			c.keep(d, got.left[i])
		}
		c.serve()
		if err != nil && len(c.waiters) > 0 {
			w := c.waiters[0]
			c.waiters = append(c.waiters[:0], c.waiters[1:]...)
			w.served <- served{err: err}
		}
		if c.closed || s.polls > min(s.allowed, len(c.waiters)) {
			s.polls--
			c.launch()
			c.mu.Unlock()
			return
		}
		most = c.waiters[min(s.polls, len(c.waiters))-1].most
		c.launch()
		c.mu.Unlock()
	}
}

// pollGrace is how much longer than its wait a poll may take: a server that does
// not answer by then will not.
const pollGrace = 10 * time.Second

// systemAttributes are what a poll asks for beside the message.
var systemAttributes = []types.MessageSystemAttributeName{
	types.MessageSystemAttributeNameSentTimestamp,
	types.MessageSystemAttributeNameApproximateReceiveCount,
	types.MessageSystemAttributeNameApproximateFirstReceiveTimestamp,
}

var wantedAttributes = []string{attribute}

// fetch makes one request, and sees to what is not to be handed out. It may
// return jobs beside an error.
func (c *consumer) fetch(source, most int) (got sorter, err error) {
	q, err := c.b.resolve(c.polling, c.queue)
	if err != nil {
		return got, c.failed(err)
	}
	url := q.sources()[source]
	ctx, cancel := context.WithTimeoutCause(c.polling, c.b.config.wait+pollGrace, errHangs)
	defer cancel()
	out, err := c.b.client.ReceiveMessage(ctx, &awssqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: int32(most), VisibilityTimeout: c.visibility,
		WaitTimeSeconds:       int32(c.b.config.wait / time.Second),
		MessageAttributeNames: wantedAttributes, MessageSystemAttributeNames: systemAttributes,
	})
	arrived := sinceEpoch()
	if err != nil {
		if errors.Is(context.Cause(ctx), errHangs) {
			err = errHangs
		}
		return got, c.failed(err)
	}
	if len(out.Messages) == 0 {
		return got, nil
	}
	answered, _ := awsmiddleware.GetServerTime(out.ResultMetadata)
	got = sorter{c: c, q: q}
	for i := range out.Messages {
		r := newReceipt(url, &out.Messages[i], answered)
		// The visibility timeout began before the answer was here, by the time that
		// it took, which cannot be known. It is longer than the lease by at least a
		// second, and the lease alone is counted from here.
		r.until.Store(int64(arrived + c.lease))
		got.sort(r)
	}
	return got, got.finish(ctx)
}

// errHangs is why a poll was given up.
var errHangs = errors.New("the server does not answer a poll")

// failed is the error of a poll. The call that ended is the poll's own, so that
// no error is that of a context of the caller.
func (c *consumer) failed(err error) error {
	if errors.Is(err, context.Canceled) {
		return closed("receive", c.queue)
	}
	err = fail("receive", c.queue, err)
	c.b.forget(c.queue, err)
	return err
}

// sorter parts what a poll brought: jobs to hand out, at once or soon, jobs that
// are not due for longer and are sent on, and what is no job and becomes a dead
// letter.
type sorter struct {
	c     *consumer
	q     *queue
	ready []*driver.Delivery

	soon []*driver.Delivery
	left []time.Duration // for how long each of them is to be kept

	early, foreign     []*receipt
	sentOn, unreadable []*parcel
}

func (s *sorter) sort(r *receipt) {
	if r.err != nil {
		d := meta{Version: formatVersion, ID: r.id, ContentType: "application/octet-stream",
			Deliveries: r.received, Error: r.err.Error(), Reason: driver.ReasonUnreadable}
		s.foreign = append(s.foreign, r)
		s.unreadable = append(s.unreadable, &parcel{body: r.body, meta: d.text()})
		return
	}
	left := r.untilDue()
	if left > maxKeep {
		hold := int32(min(left, maxHold) / time.Second)
		s.early = append(s.early, r)
		s.sentOn = append(s.sentOn, &parcel{body: r.body, meta: r.again(), hold: hold})
		return
	}
	body, err := decodeBody(r.body, r.meta.Encoding)
	if err != nil {
		r.err = err
		s.sort(r)
		return
	}
	delivery := &driver.Delivery{
		Message:  r.meta.message(body, r.sent),
		Failures: r.meta.Failures, LastError: r.meta.Error,
		Deliveries:   r.meta.Deliveries + r.received,
		Redeliveries: r.received - 1,
		Receipt:      r,
	}
	if left > 0 {
		r.until.Add(int64(left))
		s.soon, s.left = append(s.soon, delivery), append(s.left, left)
		return
	}
	s.ready = append(s.ready, delivery)
}

// finish moves what is not handed out: stored where it belongs first, deleted
// here after. What fails stays where it is and comes again after a lease.
func (s *sorter) finish(ctx context.Context) error {
	err := s.move(ctx, s.q.retry, s.sentOn, s.early)
	if again := s.move(ctx, s.q.dead, s.unreadable, s.foreign); err == nil {
		err = again
	}
	return err
}

func (s *sorter) move(ctx context.Context, to string, parcels []*parcel, from []*receipt) error {
	if len(parcels) == 0 {
		return nil
	}
	b := s.c.b
	errs := b.send(ctx, to, strings.HasSuffix(to, fifoSuffix), parcels)
	stored := make([]*receipt, 0, len(from))
	var failed error
	for i, r := range from {
		if errs == nil || errs[i] == nil {
			stored = append(stored, r)
		} else if failed == nil {
			failed = errs[i]
		}
	}
	for _, err := range b.remove(ctx, stored) {
		if err != nil && failed == nil {
			failed = err
		}
	}
	if failed != nil {
		return s.c.failed(failed)
	}
	return nil
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
	r.sent = stamp(m, types.MessageSystemAttributeNameSentTimestamp)
	r.first = stamp(m, types.MessageSystemAttributeNameApproximateFirstReceiveTimestamp)
	if n, err := strconv.Atoi(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)]); err == nil && n > 0 {
		r.received = n
	}
	if a, ok := m.MessageAttributes[attribute]; ok && a.StringValue != nil {
		r.meta, r.err = readMeta(*a.StringValue)
	} else {
		r.err = errNoMeta
	}
	if r.meta.ID == "" {
		r.meta.ID = r.id
	}
	return r
}

// stamp reads a time that SQS gives in ms since 1970; zero if it does not.
func stamp(m *types.Message, name types.MessageSystemAttributeName) time.Time {
	ms, err := strconv.ParseInt(m.Attributes[string(name)], 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
