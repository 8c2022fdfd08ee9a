package sqs

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/batch-go/batch/driver"
)

// sqsQueue is one of the SQS queues that a queue is made of.
type sqsQueue struct {
	url        string
	maxMessage int
	made       bool // it was not there before
}

// find asks for the URL of one SQS queue, and how large its messages may be.
func (b *base) find(ctx context.Context, name string) (sqsQueue, error) {
	url, err := b.client.find(ctx, name)
	if err != nil {
		return sqsQueue{}, err
	}
	attributes, err := b.client.attributes(ctx, url, types.QueueAttributeNameMaximumMessageSize)
	if err != nil {
		return sqsQueue{}, err
	}
	return sqsQueue{url: url, maxMessage: b.maxMessageIn(attributes)}, nil
}

// maxMessageIn reads MaximumMessageSize, which every server should report.
func (b *base) maxMessageIn(attributes map[string]string) int {
	n, err := strconv.Atoi(attributes[string(types.QueueAttributeNameMaximumMessageSize)])
	if err != nil || n <= 0 {
		return b.config.maxMessage
	}
	return n
}

// look checks one SQS queue, if it exists. One that does not has no url.
func (b *base) look(ctx context.Context, queue, name string) (sqsQueue, error) {
	url, err := b.client.find(ctx, name)
	if err != nil {
		if errors.Is(classify(err).Kind, driver.ErrNotFound) {
			err = nil
		}
		return sqsQueue{}, err
	}
	maxMessage, err := b.check(ctx, queue, name, url)
	return sqsQueue{url: url, maxMessage: maxMessage}, err
}

// ensure makes one SQS queue exist, or checks the one that does. It is looked
// for first, so that queues that somebody else made need no right to create any.
func (b *base) ensure(ctx context.Context, queue, name string, fifo bool) (sqsQueue, error) {
	found, err := b.look(ctx, queue, name)
	if err != nil || found.url != "" {
		return found, err
	}
	return b.create(ctx, name, fifo)
}

// create makes one SQS queue, which was not there when somebody looked.
func (b *base) create(ctx context.Context, name string, fifo bool) (sqsQueue, error) {
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
	url, err := b.client.create(ctx, name, attributes)
	return sqsQueue{url: url, maxMessage: b.config.maxMessage, made: err == nil}, err
}

// check refuses an SQS queue on which jobs would be lost behind the driver's back.
func (b *base) check(ctx context.Context, queue, name, url string) (maxMessage int, err error) {
	attributes, err := b.client.attributes(ctx, url, types.QueueAttributeNameAll)
	if err != nil {
		return 0, err
	}
	conflict := func(hint, format string, args ...any) (int, error) {
		err := fmt.Errorf("the SQS queue %s "+format, append([]any{name}, args...)...)
		return 0, faults.Refuse("declare", queue, driver.ErrConflict, err, hint)
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
	if delay := attributes[string(types.QueueAttributeNameDelaySeconds)]; delay != "" && delay != "0" {
		return conflict("set it to 0: jobs have delays of their own, and SQS would hold back those without",
			"has a DelaySeconds of %s", delay)
	}
	maxMessage = b.maxMessageIn(attributes)
	if maxMessage < minMessage {
		return conflict("raise it", "has a MaximumMessageSize of %d bytes, and at least %d are needed", maxMessage, minMessage)
	}
	return maxMessage, nil
}
