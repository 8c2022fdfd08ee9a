package peers

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/batch-go/batch/bench/performance/peer"
)

// sqsMost is how many messages a request has at most.
const sqsMost = 10

// rawSQS is the SDK at its best: requests of ten.
type rawSQS struct {
	client *awssqs.Client
	urls   map[string]string
}

// sqsClient is that of all peers, with a connection for each of 64 callers.
func sqsClient(at peer.Place) *awssqs.Client {
	return awssqs.New(awssqs.Options{
		BaseEndpoint: aws.String(at.URL), Region: at.Region,
		Credentials: credentials.NewStaticCredentialsProvider(at.User, at.Password, ""),
		HTTPClient: awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConns, t.MaxIdleConnsPerHost = 80, 80
		}),
	})
}

// makeQueues makes the queues, and returns their addresses.
func makeQueues(ctx context.Context, client *awssqs.Client, at peer.Place) (map[string]string, error) {
	urls := make(map[string]string)
	for _, q := range at.Queues {
		made, err := client.CreateQueue(ctx, &awssqs.CreateQueueInput{QueueName: &q})
		if err != nil {
			return nil, err
		}
		urls[q] = *made.QueueUrl
	}
	return urls, nil
}

// removeQueues removes them.
func removeQueues(client *awssqs.Client, urls map[string]string) error {
	for _, url := range urls {
		if _, err := client.DeleteQueue(context.Background(), &awssqs.DeleteQueueInput{QueueUrl: &url}); err != nil {
			return err
		}
	}
	return nil
}

// openRawSQS makes the queues.
func openRawSQS(ctx context.Context, at peer.Place) (peer.Peer, error) {
	client := sqsClient(at)
	urls, err := makeQueues(ctx, client, at)
	return &rawSQS{client, urls}, err
}

// Enqueue implements peer.Peer.
func (p *rawSQS) Enqueue(ctx context.Context, queue string, j peer.Job) error {
	_, err := p.client.SendMessage(ctx, &awssqs.SendMessageInput{
		QueueUrl: aws.String(p.urls[queue]), MessageBody: aws.String(string(j.Encode())),
	})
	return err
}

// EnqueueMany implements peer.Peer: requests of ten, six at a time.
func (p *rawSQS) EnqueueMany(ctx context.Context, queue string, jobs []peer.Job) error {
	parts := make(chan []peer.Job)
	failed := make([]error, 6)
	var all sync.WaitGroup
	for i := range failed {
		all.Go(func() {
			for part := range parts {
				failed[i] = errors.Join(failed[i], p.sendTen(ctx, queue, part))
			}
		})
	}
	for len(jobs) > 0 {
		n := min(sqsMost, len(jobs))
		parts <- jobs[:n]
		jobs = jobs[n:]
	}
	close(parts)
	all.Wait()
	return errors.Join(failed...)
}

// sendTen sends up to ten jobs in a request.
func (p *rawSQS) sendTen(ctx context.Context, queue string, jobs []peer.Job) error {
	entries := make([]types.SendMessageBatchRequestEntry, len(jobs))
	for i, j := range jobs {
		entries[i] = types.SendMessageBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(string(j.Encode())),
		}
	}
	out, err := p.client.SendMessageBatch(ctx, &awssqs.SendMessageBatchInput{QueueUrl: aws.String(p.urls[queue]), Entries: entries})
	if err == nil && len(out.Failed) > 0 {
		err = errNotConfirmed
	}
	return err
}

// Work implements peer.Peer: four loops a queue receive ten messages, handle them at the same time and delete
// them.
func (p *rawSQS) Work(ctx context.Context, _ int, handle peer.Handler) (func() error, error) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	loops := 4
	if len(p.urls) > 1 {
		loops = 1
	}
	for _, url := range p.urls {
		for range loops {
			all.Go(func() {
				for ctx.Err() == nil {
					if err := p.receive(ctx, url, handle); err != nil && ctx.Err() == nil {
						panic(err)
					}
				}
			})
		}
	}
	return func() error { cancel(); all.Wait(); return nil }, nil
}

// receive does the jobs of one request. Those that fail can be received again at once.
func (p *rawSQS) receive(ctx context.Context, url string, handle peer.Handler) error {
	// A poll ends by itself, because one that its client left can take a message with it.
	out, err := p.client.ReceiveMessage(context.WithoutCancel(ctx), &awssqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: sqsMost, WaitTimeSeconds: 1, VisibilityTimeout: 60,
	})
	if err != nil || len(out.Messages) == 0 {
		return err
	}
	failed := make([]bool, len(out.Messages))
	var all sync.WaitGroup
	for i, m := range out.Messages {
		all.Go(func() {
			j, err := peer.Decode([]byte(*m.Body))
			failed[i] = err != nil || handle(j) != nil
		})
	}
	all.Wait()
	var done []types.DeleteMessageBatchRequestEntry
	var again []types.ChangeMessageVisibilityBatchRequestEntry
	for i, m := range out.Messages {
		id := aws.String(strconv.Itoa(i))
		if failed[i] {
			again = append(again, types.ChangeMessageVisibilityBatchRequestEntry{Id: id, ReceiptHandle: m.ReceiptHandle})
		} else {
			done = append(done, types.DeleteMessageBatchRequestEntry{Id: id, ReceiptHandle: m.ReceiptHandle})
		}
	}
	ctx = context.WithoutCancel(ctx)
	if len(done) > 0 {
		_, err = p.client.DeleteMessageBatch(ctx, &awssqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: done})
	}
	if len(again) > 0 {
		_, e := p.client.ChangeMessageVisibilityBatch(ctx, &awssqs.ChangeMessageVisibilityBatchInput{QueueUrl: &url, Entries: again})
		err = errors.Join(err, e)
	}
	return err
}

// Close implements peer.Peer.
func (p *rawSQS) Close() error { return removeQueues(p.client, p.urls) }
