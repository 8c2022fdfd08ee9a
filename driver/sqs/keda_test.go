package sqs

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
	"github.com/batch-go/batch/internal/keda"
)

// kedaCount sends what the scaler aws-sqs-queue of KEDA sends, and returns the sum of the attributes that it asks for. The
// host of the queue's URL is another one here.
func kedaCount(ctx context.Context, c *sqs.Client, trigger keda.Trigger) (sum int64, err error) {
	m := trigger.Metadata
	if trigger.Type != "aws-sqs-queue" {
		return 0, fmt.Errorf("no request is known for %+v", trigger)
	}
	found, err := c.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(path.Base(m["queueURL"]))})
	if err != nil {
		return 0, err
	}
	names := []types.QueueAttributeName{types.QueueAttributeNameApproximateNumberOfMessages}
	if m["scaleOnInFlight"] == "true" {
		names = append(names, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible)
	}
	if m["scaleOnDelayed"] == "true" {
		names = append(names, types.QueueAttributeNameApproximateNumberOfMessagesDelayed)
	}
	answer, err := c.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: found.QueueUrl, AttributeNames: names})
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		n, err := strconv.ParseInt(answer.Attributes[string(name)], 10, 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// TestKEDA sends what KEDA sends for the triggers of docs/deploy.md. The answers are the demand that package health tells.
func TestKEDA(t *testing.T) {
	for i, test := range []struct {
		scheme string
		open   func(context.Context, string) (driver.Driver, error)
	}{
		{"sqs", func(ctx context.Context, url string) (driver.Driver, error) { return Open(ctx, url) }},
		{"sqs+fifo", func(ctx context.Context, url string) (driver.Driver, error) { return OpenFIFO(ctx, url) }},
	} {
		t.Run(test.scheme, func(t *testing.T) {
			broker := brokers.SQS(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			d, err := test.open(ctx, testURL(t, test.scheme))
			if err != nil {
				t.Fatal(err)
			}
			defer closeAll(t, d)
			c := sqs.New(sqs.Options{
				BaseEndpoint: aws.String(broker.URL()), Region: "us-east-1",
				Credentials: credentials.NewStaticCredentialsProvider(broker.Username, broker.Password, ""),
			})
			q := fmt.Sprintf("keda-%d", time.Now().UnixNano())
			if err := d.Declare(ctx, q); err != nil {
				t.Fatal(err)
			}
			defer d.DeleteQueue(context.WithoutCancel(ctx), q)
			blocks, err := keda.Triggers("Amazon SQS", q)
			if err != nil {
				t.Fatal(err)
			}
			leave, err := keda.Scene(ctx, d, q)
			if err != nil {
				t.Fatal(err)
			}
			defer leave(context.WithoutCancel(ctx))
			count := func(ctx context.Context) (sum int64, err error) {
				for _, trigger := range blocks[i] {
					n, err := kedaCount(ctx, c, trigger)
					if err != nil {
						return 0, err
					}
					sum += n
				}
				return sum, nil
			}
			if err := keda.Await(ctx, 6, count); err != nil {
				t.Errorf("KEDA: %v", err)
			}
			if load, err := keda.Load(d, q); err != nil || *load.Demand != 6 || *load.Scheduled != 1 {
				t.Errorf("health tells %+v, %v", load, err)
			}
			// The last queue has the delayed job, which SQS will make visible there.
			last := blocks[i][len(blocks[i])-1]
			without, err := kedaCount(ctx, c, last)
			if err != nil {
				t.Fatal(err)
			}
			last.Metadata["scaleOnDelayed"] = "true"
			if with, err := kedaCount(ctx, c, last); err != nil || with != without+1 {
				t.Errorf("%s has %d jobs, %v, with those that are delayed, and %d without", last.Metadata["queueURL"], with, err, without)
			}
		})
	}
}
