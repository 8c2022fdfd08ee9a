package sqs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/batch-go/batch/driver"
)

// maxHold is how long SQS itself can hold a message back:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
const maxHold = 15 * time.Minute

// parcel is a message on its way to a queue.
type parcel struct {
	body, meta string
	// hold is how long SQS holds it back, in seconds.
	hold int32
	// token names the message for a FIFO queue, which stores a second one of the
	// same token within five minutes only once. Empty for one of its own.
	token string
}

// overheadOfAttribute is what SQS counts of an attribute beside its value.
const overheadOfAttribute = len(attribute) + len("String")

func (p *parcel) size() int { return len(p.body) + len(p.meta) + overheadOfAttribute }

// seconds rounds up.
func seconds(d time.Duration) int32 {
	return int32((d + time.Second - 1) / time.Second)
}

// delayed notes a delay, and says for how long SQS is to hold the message back:
// in whole seconds, rounded down, and up to 15 minutes. What is left of the delay
// then, the consumer that receives the message sees to, by the note.
func (d *meta) delayed(delay time.Duration) (hold int32) {
	d.Delay, d.Due = 0, 0
	delay = max(delay, 0)
	hold = int32(min(delay, maxHold) / time.Second)
	if delay > time.Duration(hold)*time.Second {
		d.Delay = int64((delay + time.Millisecond - 1) / time.Millisecond)
	}
	return hold
}

// send stores parcels in the queue at url, each by itself, in as few requests as
// possible and those in parallel. The errors are nil if all were stored.
func (b *base) send(ctx context.Context, url string, fifo bool, parcels []*parcel) []error {
	errs := make([]error, len(parcels))
	failed := false
	var mu sync.Mutex // guards failed
	b.parallel(pack(parcels), func(from, to int) {
		for i, err := range b.sendRequest(ctx, url, fifo, parcels[from:to]) {
			if err != nil {
				errs[from+i] = err
				mu.Lock()
				failed = true
				mu.Unlock()
			}
		}
	})
	if !failed {
		return nil
	}
	return errs
}

// pack says where the requests for parcels end.
func pack(parcels []*parcel) []int {
	var ends []int
	n, bytes := 0, 0
	for i, p := range parcels {
		if n == requestEntries || n > 0 && bytes+p.size() > requestBytes {
			ends = append(ends, i)
			n, bytes = 0, 0
		}
		n++
		bytes += p.size()
	}
	return append(ends, len(parcels))
}

// tens is pack for what has no size.
func tens(n int) []int {
	var ends []int
	for end := requestEntries; end < n; end += requestEntries {
		ends = append(ends, end)
	}
	return append(ends, n)
}

// parallel calls do for each part that ends at one of ends, at the same time,
// and returns when all have returned. Callers bound the number by their batches.
func (b *base) parallel(ends []int, do func(from, to int)) {
	var all sync.WaitGroup
	from := 0
	for i, to := range ends {
		if i == len(ends)-1 {
			do(from, to) // the caller's goroutine has nothing else to do
			break
		}
		first := from
		all.Go(func() { do(first, to) })
		from = to
	}
	all.Wait()
}

// entryIDs are the names of a request's entries.
var entryIDs = func() (ids [requestEntries]*string) {
	for i := range ids {
		ids[i] = aws.String(strconv.Itoa(i))
	}
	return ids
}()

// position finds the entry that an answer speaks of.
func position(id *string, n int) int {
	if id == nil || len(*id) != 1 || int((*id)[0]-'0') >= n {
		return -1
	}
	return int((*id)[0] - '0')
}

var dataType = aws.String("String")

// sendRequest makes one request.
func (b *base) sendRequest(ctx context.Context, url string, fifo bool, parcels []*parcel) []error {
	entries := make([]types.SendMessageBatchRequestEntry, len(parcels))
	for i, p := range parcels {
		entries[i] = types.SendMessageBatchRequestEntry{
			Id: entryIDs[i], MessageBody: &p.body, DelaySeconds: p.hold,
			MessageAttributes: map[string]types.MessageAttributeValue{attribute: {DataType: dataType, StringValue: &p.meta}},
		}
		if fifo {
			token := p.token
			if token == "" {
				token = rand.Text()
			}
			// A group of its own for each message, so that none waits for another.
			entries[i].MessageGroupId, entries[i].MessageDeduplicationId = &token, &token
		}
	}
	out, err := b.client.SendMessageBatch(ctx, &awssqs.SendMessageBatchInput{QueueUrl: &url, Entries: entries})
	if err != nil {
		return all(len(parcels), err)
	}
	return outcome(len(parcels), out.Failed, out.Successful, func(e *types.SendMessageBatchResultEntry) *string { return e.Id })
}

// outcome makes one error for each entry of an answer; nil if there is none.
func outcome[E any](n int, failed []types.BatchResultErrorEntry, done []E, id func(*E) *string) []error {
	if len(failed) == 0 && len(done) == n {
		return nil
	}
	errs := all(n, errSilent)
	for i := range done {
		if at := position(id(&done[i]), n); at >= 0 {
			errs[at] = nil
		}
	}
	for i := range failed {
		if at := position(failed[i].Id, n); at >= 0 {
			errs[at] = refused(&failed[i])
		}
	}
	return errs
}

// Enqueue stores messages, see driver.Driver.
func (b *base) Enqueue(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	if len(messages) == 0 {
		return nil
	}
	ctx, leave, err := b.enter(ctx, "enqueue", queue)
	if err != nil {
		return results(len(messages), err)
	}
	defer leave()
	q, err := b.resolve(ctx, queue)
	if err != nil {
		failed := fail("enqueue", queue, err).(*driver.Error)
		failed.Fate = driver.FateNotStored // nothing of the jobs was sent
		return results(len(messages), failed)
	}
	var now, later shipment
	var refused []driver.Result
	for i, m := range messages {
		p := parcelOf(m)
		if p.size() > q.maxMessage {
			if refused == nil {
				refused = make([]driver.Result, len(messages))
			}
			refused[i].Err = &driver.Error{Driver: Name, Op: "enqueue", Queue: queue, Kind: driver.ErrTooLarge, Fate: driver.FateNotStored,
				Err:  fmt.Errorf("the message takes %d bytes and the queue %d", p.size(), q.maxMessage),
				Hint: "raise the queue's MaximumMessageSize, up to 1048576"}
			continue
		}
		if b.config.fifo && m.Delay > 0 {
			later.add(i, p)
		} else {
			now.add(i, p)
		}
	}
	return b.ship(ctx, queue, q, refused, len(messages), &now, &later)
}

// shipment are the parcels for one of a queue's queues.
type shipment struct {
	parcels []*parcel
	index   []int // which message each has
	errs    []error
}

func (s *shipment) add(i int, p *parcel) {
	s.parcels = append(s.parcels, p)
	s.index = append(s.index, i)
}

// ship sends both shipments and makes the results of n messages.
func (b *base) ship(ctx context.Context, queue string, q *queue, results []driver.Result, n int, now, later *shipment) []driver.Result {
	var both sync.WaitGroup
	if len(later.parcels) > 0 {
		both.Go(func() { later.errs = b.send(ctx, q.retry, false, later.parcels) })
	}
	if len(now.parcels) > 0 {
		now.errs = b.send(ctx, q.work, b.config.fifo, now.parcels)
	}
	both.Wait()
	for _, s := range []*shipment{now, later} {
		for i, err := range s.errs {
			if err == nil {
				continue
			}
			if results == nil {
				results = make([]driver.Result, n)
			}
			failed := fail("enqueue", queue, err)
			results[s.index[i]].Err = failed
			b.forget(queue, failed)
		}
	}
	return results
}

// parcelOf packs a message.
func parcelOf(m *driver.Message) *parcel {
	body, encoding := encodeBody(m.Body)
	d := metaOf(m, encoding)
	p := &parcel{body: body, hold: d.delayed(m.Delay)}
	p.meta = d.text()
	return p
}

// results repeats an error for each of n messages.
func results(n int, err error) []driver.Result {
	list := make([]driver.Result, n)
	for i := range list {
		list[i].Err = err
	}
	return list
}

// forget drops what is known of a queue that turned out not to exist.
func (b *base) forget(queue string, err error) {
	if errors.Is(err, driver.ErrNotFound) {
		b.queues.Delete(queue)
	}
}
