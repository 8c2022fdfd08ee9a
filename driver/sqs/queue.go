package sqs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/batch-go/batch/driver"
)

// Declare makes the queue exist, and its companions: SQS queues for dead letters
// and, for FIFO, for retries. The companions come first, so that a queue that takes
// jobs has them.
func (b *base) Declare(ctx context.Context, queue string) error {
	const op = "declare"
	ctx, end, err := b.begin(ctx, op, queue)
	if err != nil {
		return err
	}
	defer end()
	n, err := b.names(op, queue)
	if err != nil {
		return err
	}
	found, err := b.provide(ctx, queue, n)
	if err != nil {
		return fail(op, queue, err)
	}
	for _, name := range n.companions() {
		if least, has := found[n.work].maxMessage, found[name].maxMessage; has < least {
			err := fmt.Errorf("the SQS queue %s has a MaximumMessageSize of %d bytes, and %s one of %d", name, has, n.work, least)
			return faults.Refuse(op, queue, driver.ErrConflict, err, "raise the former, or jobs could not be moved to it")
		}
	}
	b.remember(queue, n, found)
	return nil
}

// provide looks for the SQS queues of a queue, all at the same time as mostly they are
// there, and makes those that are not.
func (b *base) provide(ctx context.Context, queue string, n names) (map[string]sqsQueue, error) {
	found, err := askAll(n.all(), func(name string) (sqsQueue, error) { return b.look(ctx, queue, name) })
	if err != nil {
		return nil, err
	}
	missing := func(name string) bool { return found[name].url == "" }
	there := slices.DeleteFunc(n.companions(), missing)
	lacking := slices.DeleteFunc(n.companions(), func(name string) bool { return !missing(name) })
	made, err := askAll(lacking, func(name string) (sqsQueue, error) { return b.create(ctx, name, false) })
	if err != nil {
		return nil, err
	}
	maps.Copy(found, made)
	switch {
	case missing(n.work):
		found[n.work], err = b.create(ctx, n.work, b.config.fifo)
	case len(lacking) > 0: // somebody may be just deleting it, who began with it
		found[n.work], err = b.ensure(ctx, queue, n.work, b.config.fifo)
	}
	if err != nil || !found[n.work].made {
		return found, err
	}
	// Those that were there may have been of a queue that somebody is just deleting.
	again, err := askAll(there, func(name string) (sqsQueue, error) { return b.ensure(ctx, queue, name, false) })
	maps.Copy(found, again)
	return found, err
}

// DeleteQueue deletes the queue and its companions. SQS takes up to 60 seconds for
// it, in which it may still accept and hand out messages, and does not let a queue
// of the same name be made:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteQueue.html
func (b *base) DeleteQueue(ctx context.Context, queue string) error {
	const op = "delete queue"
	ctx, end, err := b.begin(ctx, op, queue)
	if err != nil {
		return err
	}
	defer end()
	n, err := b.names(op, queue)
	if err != nil {
		return err
	}
	defer b.lose(queue)
	// The queue itself first: one without companions would take jobs that it
	// cannot keep. These then go at once: a worker that misses the queue declares it
	// again.
	remove := func(name string) (sqsQueue, error) {
		url, err := b.client.find(ctx, name)
		if err == nil {
			_, err = b.client.DeleteQueue(ctx, &awssqs.DeleteQueueInput{QueueUrl: &url})
		}
		if err != nil && errors.Is(classify(err).Kind, driver.ErrNotFound) {
			err = nil
		}
		return sqsQueue{url: url}, err
	}
	for _, names := range [][]string{{n.work}, n.companions()} {
		if _, err := askAll(names, remove); err != nil {
			return fail(op, queue, err)
		}
	}
	b.listings.drop(func(l *listing) bool { return l.queue == queue })
	return nil
}

// Depth asks SQS for the number of visible, delayed and hidden messages. On AWS the
// counts lag: they settle about a minute after the last change. How long the oldest
// job has been waiting is in CloudWatch only.
func (b *base) Depth(ctx context.Context, queue string) (driver.Depth, error) {
	const op = "depth"
	ctx, end, err := b.begin(ctx, op, queue)
	if err != nil {
		return driver.Depth{}, err
	}
	defer end()
	q, err := b.resolve(ctx, queue)
	if err != nil {
		return driver.Depth{}, fail(op, queue, err)
	}
	urls := append(q.sources(), q.urls[toDead])
	found, errs := make([]counts, len(urls)), make([]error, len(urls))
	inParallel(len(urls), func(i int) { found[i], errs[i] = b.client.count(ctx, urls[i]) })
	if err := fail(op, queue, errors.Join(errs...)); err != nil {
		b.forget(queue, err)
		return driver.Depth{}, err
	}
	last := len(urls) - 1
	depth := driver.Depth{Dead: found[last].sum()}
	for _, n := range found[:last] {
		depth.Waiting = add(depth.Waiting, n.visible)
		depth.Scheduled = add(depth.Scheduled, n.delayed)
		depth.Running = add(depth.Running, n.invisible)
	}
	if depth.Waiting != 0 {
		depth.Age = driver.UnknownAge
	}
	return depth, nil
}

// ListQueues lists the SQS queues whose names begin with the URL's prefix, and
// returns those that have their companions beside them and are as Declare leaves
// them: each is asked for its RedrivePolicy.
func (b *base) ListQueues(ctx context.Context) ([]string, error) {
	const op = "list queues"
	ctx, end, err := b.begin(ctx, op, "")
	if err != nil {
		return nil, err
	}
	defer end()
	urls, err := b.client.list(ctx, b.config.prefix)
	if err != nil {
		return nil, fail(op, "", err)
	}
	var found, work []string // names, and the URLs of the jobs
	for name, url := range urls {
		queue, n, ok := queueIn(b.config.prefix, name, b.config.fifo)
		for _, companion := range n.companions() {
			ok = ok && urls[companion] != ""
		}
		if ok {
			found, work = append(found, queue), append(work, url)
		}
	}
	queues := make([]string, 0, len(found))
	for from := 0; from < len(found); from += receivers {
		part := work[from:min(from+receivers, len(work))]
		own, errs := make([]bool, len(part)), make([]error, len(part))
		inParallel(len(part), func(i int) { own[i], errs[i] = b.isOwn(ctx, part[i]) })
		if err := errors.Join(errs...); err != nil {
			return nil, fail(op, "", err)
		}
		for i := range part {
			if own[i] {
				queues = append(queues, found[from+i])
			}
		}
	}
	slices.Sort(queues)
	return queues, nil
}

// isOwn tells whether Declare would take the SQS queue at url for one of its own.
// One that was deleted meanwhile is none, nor is one that these credentials may not
// look at.
func (b *base) isOwn(ctx context.Context, url string) (bool, error) {
	attributes, err := b.client.attributes(ctx, url, types.QueueAttributeNameRedrivePolicy)
	if err != nil {
		kind := classify(err).Kind
		if errors.Is(kind, driver.ErrNotFound) || errors.Is(kind, driver.ErrUnauthorized) {
			return false, nil
		}
		return false, err
	}
	return attributes[string(types.QueueAttributeNameRedrivePolicy)] == "", nil
}
