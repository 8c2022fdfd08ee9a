package sqs

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/batch-go/batch/driver"
)

// queue is what is known of a queue that exists.
type queue struct {
	// The URLs. retry is where delayed messages go: work itself, but for FIFO.
	work, retry, dead string
	// maxMessage is the largest message that all of them take.
	maxMessage int
}

// sources are the URLs that jobs are received from.
func (q *queue) sources() []string {
	if q.retry == q.work {
		return []string{q.work}
	}
	return []string{q.work, q.retry}
}

// resolve finds a queue by its name and remembers it.
func (b *base) resolve(ctx context.Context, queueName string) (*queue, error) {
	if q, ok := b.queues.Load(queueName); ok {
		return q.(*queue), nil
	}
	n, err := b.names("resolve", queueName)
	if err != nil {
		return nil, err
	}
	q, err := b.each(n, func(full string) (string, int, error) { return b.find(ctx, full) })
	if err != nil {
		return nil, err
	}
	b.queues.Store(queueName, q)
	return q, nil
}

// each asks for all of a queue's SQS queues at one time.
func (b *base) each(n names, ask func(full string) (url string, maxMessage int, err error)) (*queue, error) {
	full := []string{n.work, n.dead}
	if n.retry != "" {
		full = append(full, n.retry)
	}
	urls, sizes, errs := make([]string, len(full)), make([]int, len(full)), make([]error, len(full))
	var all sync.WaitGroup
	for i := range full {
		all.Go(func() { urls[i], sizes[i], errs[i] = ask(full[i]) })
	}
	all.Wait()
	q := &queue{work: urls[0], retry: urls[0], dead: urls[1], maxMessage: b.config.maxMessage}
	if n.retry != "" {
		q.retry = urls[2]
	}
	for i, err := range errs {
		if err != nil {
			return nil, err
		}
		q.maxMessage = min(q.maxMessage, sizes[i])
	}
	return q, nil
}

// find asks for the URL of one SQS queue, and how large its messages may be.
func (b *base) find(ctx context.Context, full string) (url string, maxMessage int, err error) {
	found, err := b.client.GetQueueUrl(ctx, &awssqs.GetQueueUrlInput{QueueName: &full})
	if err != nil {
		return "", 0, err
	}
	attributes, err := b.attributes(ctx, *found.QueueUrl, types.QueueAttributeNameMaximumMessageSize)
	if err != nil {
		return "", 0, err
	}
	return *found.QueueUrl, b.sizeIn(attributes), nil
}

// sizeIn reads MaximumMessageSize, which every server should report.
func (b *base) sizeIn(attributes map[string]string) int {
	n, err := strconv.Atoi(attributes[string(types.QueueAttributeNameMaximumMessageSize)])
	if err != nil || n <= 0 {
		return b.config.maxMessage
	}
	return n
}

func (b *base) attributes(ctx context.Context, url string, wanted ...types.QueueAttributeName) (map[string]string, error) {
	out, err := b.client.GetQueueAttributes(ctx, &awssqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: wanted})
	if err != nil {
		return nil, err
	}
	return out.Attributes, nil
}

// Declare makes the queue and its companions exist, see driver.Driver. Dead
// letters and retries come first, so that a queue that takes jobs has them.
func (b *base) Declare(ctx context.Context, queueName string) error {
	ctx, leave, err := b.enter(ctx, "declare", queueName)
	if err != nil {
		return err
	}
	defer leave()
	n, err := b.names("declare", queueName)
	if err != nil {
		return err
	}
	companions := names{work: n.dead, dead: n.dead}
	if n.retry != "" {
		companions.work = n.retry
	}
	ensure := func(full string) (string, int, error) {
		return b.ensure(ctx, queueName, full, full == n.work && b.config.fifo)
	}
	c, err := b.each(companions, ensure)
	if err != nil {
		return fail("declare", queueName, err)
	}
	url, size, err := ensure(n.work)
	if err != nil {
		return fail("declare", queueName, err)
	}
	q := &queue{work: url, retry: url, dead: c.dead, maxMessage: min(size, c.maxMessage)}
	if n.retry != "" {
		q.retry = c.work
	}
	b.queues.Store(queueName, q)
	return nil
}

// ensure makes one SQS queue exist, or checks the one that does. It is looked
// for first, so that queues that somebody else made need no right to create any.
func (b *base) ensure(ctx context.Context, queueName, full string, fifo bool) (url string, maxMessage int, err error) {
	found, err := b.client.GetQueueUrl(ctx, &awssqs.GetQueueUrlInput{QueueName: &full})
	if err == nil {
		size, err := b.check(ctx, queueName, full, *found.QueueUrl)
		return *found.QueueUrl, size, err
	}
	if !errors.Is(classify(err).kind, driver.ErrNotFound) {
		return "", 0, err
	}
	attributes := map[string]string{
		string(types.QueueAttributeNameMessageRetentionPeriod): strconv.Itoa(int(b.config.retention.Seconds())),
		string(types.QueueAttributeNameMaximumMessageSize):     strconv.Itoa(b.config.maxMessage),
	}
	if fifo {
		attributes[string(types.QueueAttributeNameFifoQueue)] = "true"
		// High throughput: each job is a group of its own, so SQS need not keep
		// one order for all, which it does at 300 requests a second.
		// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/high-throughput-fifo.html
		attributes[string(types.QueueAttributeNameDeduplicationScope)] = "messageGroup"
		attributes[string(types.QueueAttributeNameFifoThroughputLimit)] = "perMessageGroupId"
	}
	made, err := b.client.CreateQueue(ctx, &awssqs.CreateQueueInput{QueueName: &full, Attributes: attributes})
	if err != nil {
		return "", 0, err
	}
	return *made.QueueUrl, b.config.maxMessage, nil
}

// check refuses a queue on which jobs would be lost behind the driver's back.
func (b *base) check(ctx context.Context, queueName, full, url string) (maxMessage int, err error) {
	attributes, err := b.attributes(ctx, url, types.QueueAttributeNameAll)
	if err != nil {
		return 0, err
	}
	conflict := func(hint, format string, args ...any) (int, error) {
		return 0, &driver.Error{Driver: Name, Op: "declare", Queue: queueName, Kind: driver.ErrConflict, Fate: driver.FateNotStored,
			Err: fmt.Errorf("the SQS queue %s "+format, append([]any{full}, args...)...), Hint: hint}
	}
	if policy := attributes[string(types.QueueAttributeNameRedrivePolicy)]; policy != "" {
		return conflict("remove it: jobs are dead-lettered by the worker, with their history",
			"has a RedrivePolicy, by which SQS would take jobs away: %s", policy)
	}
	kept, err := strconv.Atoi(attributes[string(types.QueueAttributeNameMessageRetentionPeriod)])
	if want := int(b.config.retention.Seconds()); err == nil && kept < want {
		return conflict("raise it, or say retention= in the URL",
			"has a MessageRetentionPeriod of %d seconds, and %d are wanted", kept, want)
	}
	size := b.sizeIn(attributes)
	if size < minMessage {
		return conflict("raise it", "has a MaximumMessageSize of %d bytes, and at least %d are needed", size, minMessage)
	}
	return size, nil
}

// DeleteQueue removes the queue and its companions, see driver.Driver. SQS takes
// up to 60 seconds for it, in which it may still take and give messages, and does
// not let a queue of the name be made:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteQueue.html
func (b *base) DeleteQueue(ctx context.Context, queueName string) error {
	ctx, leave, err := b.enter(ctx, "delete queue", queueName)
	if err != nil {
		return err
	}
	defer leave()
	n, err := b.names("delete queue", queueName)
	if err != nil {
		return err
	}
	b.queues.Delete(queueName)
	// The queue itself first: one without companions would take jobs that it
	// cannot keep.
	for _, full := range []string{n.work, n.retry, n.dead} {
		if full == "" {
			continue
		}
		found, err := b.client.GetQueueUrl(ctx, &awssqs.GetQueueUrlInput{QueueName: &full})
		if err == nil {
			_, err = b.client.DeleteQueue(ctx, &awssqs.DeleteQueueInput{QueueUrl: found.QueueUrl})
		}
		if err != nil && !errors.Is(classify(err).kind, driver.ErrNotFound) {
			return fail("delete queue", queueName, err)
		}
	}
	b.dropListing(queueName)
	return nil
}

// Depth counts the jobs by state, see driver.Driver. On AWS the counts lag: they
// settle about a minute after the last change.
func (b *base) Depth(ctx context.Context, queueName string) (driver.Depth, error) {
	ctx, leave, err := b.enter(ctx, "depth", queueName)
	if err != nil {
		return driver.Depth{}, err
	}
	defer leave()
	q, err := b.resolve(ctx, queueName)
	if err != nil {
		return driver.Depth{}, fail("depth", queueName, err)
	}
	urls := append(q.sources(), q.dead)
	counts, errs := make([]count, len(urls)), make([]error, len(urls))
	var all sync.WaitGroup
	for i := range urls {
		all.Go(func() { counts[i], errs[i] = b.count(ctx, urls[i]) })
	}
	all.Wait()
	if err := fail("depth", queueName, errors.Join(errs...)); err != nil {
		b.forget(queueName, err)
		return driver.Depth{}, err
	}
	depth := driver.Depth{Dead: counts[len(counts)-1].sum()}
	for _, c := range counts[:len(counts)-1] {
		depth.Waiting += c.visible
		depth.Scheduled += c.delayed
		depth.Running += c.hidden
	}
	return depth, nil
}

// count is what one SQS queue says of itself.
type count struct{ visible, hidden, delayed int64 }

func (c count) sum() int64 { return c.visible + c.hidden + c.delayed }

func (b *base) count(ctx context.Context, url string) (count, error) {
	attributes, err := b.attributes(ctx, url,
		types.QueueAttributeNameApproximateNumberOfMessages,
		types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
		types.QueueAttributeNameApproximateNumberOfMessagesDelayed)
	if err != nil {
		return count{}, err
	}
	read := func(name types.QueueAttributeName) int64 {
		n, err := strconv.ParseInt(attributes[string(name)], 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	return count{
		visible: read(types.QueueAttributeNameApproximateNumberOfMessages),
		hidden:  read(types.QueueAttributeNameApproximateNumberOfMessagesNotVisible),
		delayed: read(types.QueueAttributeNameApproximateNumberOfMessagesDelayed),
	}, nil
}
