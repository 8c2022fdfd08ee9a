package sqs

import (
	"context"
	"errors"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// wantedAttributes and wantedSystemAttributes are what a receive asks for beside
// the body.
var (
	wantedAttributes       = []string{attributeName}
	wantedSystemAttributes = []types.MessageSystemAttributeName{
		types.MessageSystemAttributeNameSentTimestamp,
		types.MessageSystemAttributeNameApproximateReceiveCount,
		types.MessageSystemAttributeNameApproximateFirstReceiveTimestamp,
	}
)

// receive waits for messages and takes up to most of them, for as long as
// visibility is, in seconds. There may be some beside an error, which then is about
// others of the answer; they come again when their visibility timeouts end. A server
// that leaves out what all messages must have gets them all back.
func (c client) receive(ctx context.Context, url string, most int, visibility int32, wait time.Duration) ([]*receipt, error) {
	out, err := c.ReceiveMessage(ctx, &awssqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: int32(most),
		VisibilityTimeout: visibility, WaitTimeSeconds: int32(wait / time.Second),
		MessageAttributeNames: wantedAttributes, MessageSystemAttributeNames: wantedSystemAttributes,
	})
	if err != nil {
		return nil, err
	}
	answered, _ := awsmiddleware.GetServerTime(out.ResultMetadata) // zero if the answer has none
	receipts := make([]*receipt, 0, len(out.Messages))
	for i := range out.Messages {
		r, wrong := newReceipt(url, &out.Messages[i], answered)
		if errors.As(wrong, new(lacking)) {
			if r.handle != "" {
				receipts = append(receipts, r)
			}
			c.changeVisibility(ctx, receipts, 0)
			return nil, wrong
		}
		if wrong != nil {
			err = wrong
			continue
		}
		receipts = append(receipts, r)
	}
	return receipts, err
}
