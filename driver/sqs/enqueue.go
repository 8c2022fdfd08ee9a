package sqs

import (
	"context"
	"fmt"
	"sync"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// Enqueue sends messages, ten to a request. On FIFO queues it sends those with a
// delay to the queue for retries.
func (b *base) Enqueue(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	if len(messages) == 0 {
		return nil
	}
	const op = "enqueue"
	ctx, end, err := b.begin(ctx, op, queue)
	if err != nil {
		return fault.Results(len(messages), err)
	}
	defer end()
	q, err := b.resolve(ctx, queue)
	if err != nil {
		// Nothing of the jobs was sent.
		return fault.Results(len(messages), fail(op, queue, fault.NotSent{Err: err}))
	}
	var results []driver.Result
	failed := func(i int, err error) {
		if results == nil {
			results = make([]driver.Result, len(messages))
		}
		results[i].Err = fail(op, queue, err)
		b.forget(queue, results[i].Err)
	}
	// SQS holds no single message of a FIFO queue back, so those with a delay go to
	// the queue for retries.
	var prompt, delayed batch[*entry]
	for i, m := range messages {
		e := newEntry(m)
		switch {
		case e.size() > q.maxMessage:
			failed(i, faults.Refuse(op, queue, driver.ErrTooLarge,
				fmt.Errorf("the message takes %d bytes and the queue %d", e.size(), q.maxMessage),
				"raise the queue's MaximumMessageSize, up to 1048576"))
		case b.config.fifo && m.Delay > 0:
			delayed.add(i, e)
		default:
			prompt.add(i, e)
		}
	}
	var delayedErrs []error
	var sending sync.WaitGroup
	if len(delayed.items) > 0 {
		sending.Go(func() { delayedErrs = b.client.send(ctx, q.retry, delayed.items) })
	}
	prompt.report(b.client.send(ctx, q.work, prompt.items), failed)
	sending.Wait()
	delayed.report(delayedErrs, failed)
	return results
}

// newEntry writes a message.
func newEntry(m *driver.Message) *entry {
	body, encoding := encodeBody(m.Body)
	d := newMeta(m, encoding)
	delaySeconds := d.setDelay(m.Delay)
	return &entry{body: body, attribute: d.text(), delaySeconds: delaySeconds}
}
