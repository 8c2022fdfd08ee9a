package sqs

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/batch-go/batch/driver"
)

// client makes the driver's requests.
type client struct{ *awssqs.Client }

// find asks for the URL of the SQS queue of a name.
func (c client) find(ctx context.Context, name string) (url string, err error) {
	found, err := c.GetQueueUrl(ctx, &awssqs.GetQueueUrlInput{QueueName: &name})
	if err != nil {
		return "", err
	}
	return urlIn(found.QueueUrl)
}

// create makes an SQS queue.
func (c client) create(ctx context.Context, name string, attributes map[string]string) (url string, err error) {
	made, err := c.CreateQueue(ctx, &awssqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		return "", err
	}
	return urlIn(made.QueueUrl)
}

// urlIn is the URL of an answer.
func urlIn(answer *string) (string, error) {
	if answer == nil || *answer == "" {
		return "", errNoURL
	}
	return *answer, nil
}

// exists asks whether there is an SQS queue at url; the error says why not.
func (c client) exists(ctx context.Context, url string) error {
	_, err := c.attributes(ctx, url, types.QueueAttributeNameMaximumMessageSize)
	return err
}

// list asks for the URLs of the SQS queues whose names begin with prefix, by their
// names, a thousand to a request.
func (c client) list(ctx context.Context, prefix string) (urls map[string]string, err error) {
	in := &awssqs.ListQueuesInput{MaxResults: aws.Int32(1000)}
	if prefix != "" {
		in.QueueNamePrefix = &prefix
	}
	urls = make(map[string]string)
	for {
		out, err := c.ListQueues(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, url := range out.QueueUrls {
			urls[url[strings.LastIndexByte(url, '/')+1:]] = url
		}
		before := in.NextToken
		if in.NextToken = out.NextToken; in.NextToken == nil || *in.NextToken == "" {
			return urls, nil
		}
		if before != nil && *before == *in.NextToken {
			return nil, errNotPaged
		}
	}
}

// attributes asks for the wanted attributes of an SQS queue.
func (c client) attributes(ctx context.Context, url string, wanted ...types.QueueAttributeName) (map[string]string, error) {
	out, err := c.GetQueueAttributes(ctx, &awssqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: wanted})
	if err != nil {
		return nil, err
	}
	return out.Attributes, nil
}

// counts are how many messages an SQS queue has, by their state;
// driver.UnknownCount where the server does not tell.
type counts struct{ visible, invisible, delayed int64 }

// sum is how many there are in all.
func (c counts) sum() int64 { return add(add(c.visible, c.invisible), c.delayed) }

// count asks an SQS queue for its counts.
func (c client) count(ctx context.Context, url string) (counts, error) {
	attributes, err := c.attributes(ctx, url,
		types.QueueAttributeNameApproximateNumberOfMessages,
		types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
		types.QueueAttributeNameApproximateNumberOfMessagesDelayed)
	if err != nil {
		return counts{}, err
	}
	read := func(name types.QueueAttributeName) int64 {
		n, err := strconv.ParseInt(attributes[string(name)], 10, 64)
		if err != nil || n < 0 {
			return driver.UnknownCount
		}
		return int64(bounded(n))
	}
	return counts{
		visible:   read(types.QueueAttributeNameApproximateNumberOfMessages),
		invisible: read(types.QueueAttributeNameApproximateNumberOfMessagesNotVisible),
		delayed:   read(types.QueueAttributeNameApproximateNumberOfMessagesDelayed),
	}, nil
}

// seconds are those of d, rounded up.
func seconds(d time.Duration) int32 {
	return int32((d + time.Second - 1) / time.Second)
}
