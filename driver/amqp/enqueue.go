package amqp

import (
	"context"
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

const (
	// maxBody is RabbitMQ's max_message_size, which counts the body alone:
	// https://www.rabbitmq.com/docs/configure. A broker where it is less refuses
	// larger ones with driver.ErrTooLarge.
	maxBody = 16 << 20
	// batchSize: what is in one call is confirmed before the call returns. Far
	// fewer leave the broker idle in between; more only wait for the last.
	batchSize = 1000
)

// Enqueue publishes messages, persistent and mandatory, and waits until the
// broker has confirmed each: of a quorum queue, that a majority of its members
// has it on disk. https://www.rabbitmq.com/docs/confirms
func (b *base) Enqueue(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	if len(messages) == 0 {
		return nil
	}
	const op = "enqueue"
	s := scheduler{base: b}
	return b.storeAll(ctx, op, queue, len(messages), func(n *names, i int, now time.Time) (*publication, error) {
		m := messages[i]
		if err := checkBody(op, queue, m); err != nil {
			return nil, err
		}
		if err := faults.CheckDelay(op, queue, m, maxDelay); err != nil {
			return nil, err
		}
		return s.schedule(ctx, n, encode(m, history{}), m.Delay, now)
	})
}

// checkBody refuses a body that the broker would not take.
func checkBody(op, queue string, m *driver.Message) error {
	if len(m.Body) <= maxBody {
		return nil
	}
	err := fmt.Errorf("the body has %d bytes, and %d is the limit", len(m.Body), maxBody)
	return faults.Refuse(op, queue, driver.ErrTooLarge, err, "")
}

// storeAll makes a publication of each of count jobs, publishes them together, and
// says what became of each.
func (b *base) storeAll(ctx context.Context, op, queue string, count int, publicationOf func(n *names, i int, now time.Time) (*publication, error)) []driver.Result {
	if err := b.calls.Begin(ctx); err != nil {
		return fault.Results(count, fail(op, queue, err))
	}
	defer b.calls.End()
	n := b.names(queue)
	var results []driver.Result
	refuse := func(i int, err error) {
		if results == nil {
			results = make([]driver.Result, count)
		}
		results[i].Err = fail(op, queue, err)
	}
	now := time.Now()
	items := make([]*publication, 0, count)
	index := make([]int, 0, count)
	for i := range count {
		item, err := publicationOf(n, i, now)
		if err != nil {
			refuse(i, err)
			continue
		}
		items, index = append(items, item), append(index, i)
	}
	b.store(ctx, n, items)
	for k, item := range items {
		if item.err != nil {
			refuse(index[k], item.err)
		}
	}
	return results
}
