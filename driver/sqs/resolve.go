package sqs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/batch-go/batch/driver"
)

// resolve finds a queue by its name and remembers it. A queue that does not exist, or
// never had its companions, is an error that classify knows as driver.ErrNotFound, and
// nothing is made. Companions that were there and that somebody removed are made again.
func (b *base) resolve(ctx context.Context, queue string) (*knownQueue, error) {
	if q, ok := b.queues.Load(queue); ok {
		return q.(*knownQueue), nil
	}
	n, err := b.names("resolve", queue)
	if err != nil {
		return nil, err
	}
	found, err := askAll(n.all(), func(name string) (sqsQueue, error) { return b.find(ctx, name) })
	if _, seen := b.seen.Load(queue); seen && err != nil && errors.Is(classify(err).Kind, driver.ErrNotFound) {
		found, err = b.restoreCompanions(ctx, queue, n, err)
	}
	if err != nil {
		return nil, err
	}
	return b.remember(queue, n, found), nil
}

// restoreCompanions makes those that are missing, unless it is the queue itself that
// does: then it returns missing, which says so.
func (b *base) restoreCompanions(ctx context.Context, queue string, n names, missing error) (map[string]sqsQueue, error) {
	work, err := b.find(ctx, n.work)
	if err != nil {
		return nil, missing
	}
	found, err := askAll(n.companions(), func(name string) (sqsQueue, error) { return b.ensure(ctx, queue, name, false) })
	if err != nil {
		return nil, err
	}
	found[n.work] = work
	return found, nil
}

// names finds the SQS names of a queue.
func (b *base) names(op, queue string) (names, error) {
	n, err := newNames(b.config.prefix, queue, b.config.fifo)
	if err != nil {
		return names{}, faults.Refuse(op, queue, driver.ErrConfig, err, "shorten the queue's name or the URL's prefix")
	}
	return n, nil
}

// askAll asks about all of the named SQS queues at the same time.
func askAll(sqsNames []string, ask func(name string) (sqsQueue, error)) (map[string]sqsQueue, error) {
	answers, errs := make([]sqsQueue, len(sqsNames)), make([]error, len(sqsNames))
	inParallel(len(sqsNames), func(i int) { answers[i], errs[i] = ask(sqsNames[i]) })
	found := make(map[string]sqsQueue, len(sqsNames))
	for i, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("the SQS queue %s: %w", sqsNames[i], err)
		}
		found[sqsNames[i]] = answers[i]
	}
	return found, nil
}

// remember makes a queue of the SQS queues of its names.
func (b *base) remember(queue string, n names, found map[string]sqsQueue) *knownQueue {
	work := found[n.work].url
	q := &knownQueue{urls: [destinations]string{toWork: work, toRetry: work, toDead: found[n.dead].url}, maxMessage: b.config.maxMessage, maxRequest: b.config.maxMessage}
	if n.retry != "" {
		q.urls[toRetry] = found[n.retry].url
	}
	for _, s := range found {
		q.maxMessage = min(q.maxMessage, s.maxMessage)
	}
	b.queues.Store(queue, q)
	b.seen.Store(queue, true)
	return q
}

// lose notes that a queue does not exist: what was received of it is lost, also when
// it is declared again.
func (b *base) lose(queue string) {
	b.queues.Delete(queue)
	b.seen.Delete(queue)
	b.gone.Store(queue, sinceEpoch())
}

// goneAt is when a queue was last seen not to exist, since epoch; before everything
// if it never was.
func (b *base) goneAt(queue string) time.Duration {
	if at, ok := b.gone.Load(queue); ok {
		return at.(time.Duration)
	}
	return math.MinInt64
}

// forget drops what is known of a queue, if an error says that it does not exist.
func (b *base) forget(queue string, err error) {
	if errors.Is(err, driver.ErrNotFound) {
		b.queues.Delete(queue)
	}
}
