package sqs

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/batch-go/batch/conformance"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	u := urlOf(brokers.OwnOrSQS(t), scheme)
	conformance.Run(t, harness(t, u, "", func(ctx context.Context, u string) (driver.Driver, error) { return Open(ctx, u) }))
}

func TestConformanceFIFO(t *testing.T) {
	t.Parallel()
	u := urlOf(brokers.OwnOrSQS(t), schemeFIFO)
	h := harness(t, u, fifoSuffix, func(ctx context.Context, u string) (driver.Driver, error) { return OpenFIFO(ctx, u) })
	h.LikeAnother()
	conformance.Run(t, h)
}

// harness is for a server that open opens by the URL. The names of its queues have the suffix.
func harness(t *testing.T, u, suffix string, open func(context.Context, string) (driver.Driver, error)) conformance.Harness {
	t.Helper()
	return conformance.Harness{
		Open:          func(ctx context.Context) (driver.Driver, error) { return open(ctx, u) },
		Addr:          endpoint(t, u),
		OpenAt:        func(ctx context.Context, addr string) (driver.Driver, error) { return open(ctx, at(u, addr)) },
		URL:           u,
		Broker:        "fauxqs",
		CoarseCounts:  coarseCounts,
		BehindBacklog: behindBacklog,
		Hidden:        scanVisibility,
		Parallel:      8,                       // the server is one thread
		Lease:         2500 * time.Millisecond, // SQS rounds up to seconds; listing dead letters takes one
		Slack:         2 * time.Second,         // one thread serves all these cases
		Secrets:       secrets,
		Foreign:       foreign(t, u, suffix),
	}
}

// coarseCounts is why the suite does not check when a delayed job counts as waiting.
const coarseCounts = "SQS counts a job as waiting up to a second before its time, and fauxqs only when somebody receives"

// endpoint is the address that a URL has as its endpoint.
func endpoint(t *testing.T, u string) string {
	t.Helper()
	parsed, err := url.Parse(u)
	if err != nil {
		t.Fatal(err)
	}
	server, err := url.Parse(parsed.Query().Get("endpoint"))
	if err != nil {
		t.Fatal(err)
	}
	return server.Host
}

// at is a URL with another address as its endpoint.
func at(u, addr string) string {
	parsed, err := url.Parse(u)
	if err != nil {
		return u
	}
	query := parsed.Query()
	query.Set("endpoint", "http://"+addr)
	parsed.RawQuery = query.Encode()
	return parsed.String()
}

// behindBacklog is why the suite does not check where a job stands that comes back.
const behindBacklog = "SQS has no order, and in a FIFO queue a release is a new message"

// foreign sends what is no job.
func foreign(t *testing.T, u, suffix string) func(context.Context, string, []byte) error {
	return func(ctx context.Context, queue string, body []byte) error {
		d, err := openAny(ctx, u)
		if err != nil {
			return err
		}
		defer d.Close(ctx)
		found, err := d.client.GetQueueUrl(ctx, &awssqs.GetQueueUrlInput{QueueName: aws.String(queue + suffix)})
		if err != nil {
			return err
		}
		in := &awssqs.SendMessageInput{QueueUrl: found.QueueUrl, MessageBody: aws.String(string(body))}
		if suffix != "" {
			in.MessageGroupId, in.MessageDeduplicationId = aws.String("foreign"), aws.String("foreign")
		}
		_, err = d.client.SendMessage(ctx, in)
		return err
	}
}

// openAny opens the shared part of the driver that the URL names.
func openAny(ctx context.Context, u string) (*base, error) {
	if strings.HasPrefix(u, schemeFIFO+":") {
		d, err := OpenFIFO(ctx, u)
		if err != nil {
			return nil, err
		}
		return &d.base, nil
	}
	d, err := Open(ctx, u)
	if err != nil {
		return nil, err
	}
	return &d.base, nil
}
