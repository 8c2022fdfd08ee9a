package sqs

import (
	"context"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// Enqueue sends messages, ten to a request. On FIFO queues it sends those with a
// delay to the queue for retries.
func (b *base) Enqueue(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	const op = "enqueue"
	return b.store(ctx, op, queue, len(messages), func(i int) (*entry, error) {
		if err := faults.CheckDelay(op, queue, messages[i], maxDelay); err != nil {
			return nil, err
		}
		return b.newEntry(messages[i], history{}), nil
	})
}

// store sends n messages that entryOf makes, each to the SQS queue that it is for.
// An error of entryOf is that message's result.
func (b *base) store(ctx context.Context, op, queue string, n int, entryOf func(i int) (*entry, error)) []driver.Result {
	if n == 0 {
		return nil
	}
	ctx, end, err := b.begin(ctx, op, queue)
	if err != nil {
		return fault.Results(n, err)
	}
	defer end()
	q, err := b.resolve(ctx, queue)
	if err != nil {
		// Nothing of the jobs was sent.
		return fault.Results(n, fail(op, queue, fault.NotSent{Err: err}))
	}
	var results []driver.Result
	failed := func(i int, err error) {
		if results == nil {
			results = make([]driver.Result, n)
		}
		results[i].Err = fail(op, queue, err)
		b.forget(queue, results[i].Err)
	}
	var stored batch[*entry]
	for i := range n {
		e, err := entryOf(i)
		switch {
		case err != nil:
			failed(i, err)
		case e.size() > q.maxMessage:
			failed(i, tooLarge(op, queue, e, q.maxMessage))
		default:
			stored.add(i, e)
		}
	}
	stored.report(b.client.send(ctx, q, stored.items), failed)
	return results
}

// newEntry writes a job that has this history, and is held back for its delay.
func (b *base) newEntry(m *driver.Message, h history) *entry {
	body, encoding := encodeBody(m.Body)
	d := newMeta(m, encoding)
	d.history = h
	e := &entry{body: body, to: b.destination(m.Delay), delaySeconds: d.setDelay(m.Delay)}
	e.attribute = d.text()
	return e
}

// destination is where jobs go that are held back for delay: SQS holds no single
// message of a FIFO queue back, so there those with a delay go to the queue for
// retries.
func (b *base) destination(delay time.Duration) destination {
	if b.config.fifo && delay > 0 {
		return toRetry
	}
	return toWork
}
