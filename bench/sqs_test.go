package bench

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/sqs"
	"github.com/batch-go/batch/internal/brokers"
)

const (
	sqsJobs = 4000 // a round, of processing too: its end is not that of the worker
	sqsMost = 10   // in a request
)

// far is an HTTP client at a distance from its server.
type far struct {
	*http.Client
	distance time.Duration
	sends    atomic.Int64 // requests that sent messages
}

// Do waits for the request's way. It gives the request a body of its own, because
// the SDK closes its own as soon as there is an answer, which on a busy machine
// can break the connection while the answer is being read.
func (f *far) Do(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".SendMessageBatch") {
		f.sends.Add(1)
	}
	if f.distance > 0 {
		time.Sleep(f.distance)
	}
	if r.Body != nil {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r = r.WithContext(r.Context()) // a shallow copy
		r.Body = io.NopCloser(bytes.NewReader(text))
	}
	return f.Client.Do(r)
}

// rawSQS is a raw client with a queue of its own.
type rawSQS struct {
	b          *testing.B
	http       *far
	client     *awssqs.Client
	queue, own string // URLs: of the raw queue, and of that of batch
	// attributes are those of a job of batch, which it needs for retries.
	attributes map[string]types.MessageAttributeValue
}

// setupSQS gives the raw client and the driver one HTTP client at a distance.
func setupSQS(b *testing.B, distance time.Duration) (*rawSQS, *batch.Queue[*sqs.Driver]) {
	b.Helper()
	ctx := b.Context()
	server := brokers.SQS(b)
	transport := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns, t.MaxIdleConnsPerHost = producers, producers
	}).GetTransport()
	b.Cleanup(transport.CloseIdleConnections)
	raw := &rawSQS{b: b, http: &far{Client: &http.Client{Transport: transport}, distance: distance}}
	raw.client = awssqs.New(awssqs.Options{
		BaseEndpoint: aws.String(server.URL()), Region: brokers.SQSRegion, HTTPClient: raw.http, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider(server.Username, server.Password, ""),
	})
	// The shortest poll, which is what a worker's end waits for.
	d, err := sqs.New(ctx, raw.client, sqs.Options{Wait: time.Second})
	must(b, err)
	q := newQueue(b, d)
	found, err := raw.client.GetQueueUrl(ctx, &awssqs.GetQueueUrlInput{QueueName: aws.String(q.Name())})
	must(b, err)
	made, err := raw.client.CreateQueue(ctx, &awssqs.CreateQueueInput{QueueName: aws.String(q.Name() + "-raw")})
	must(b, err)
	raw.own, raw.queue = *found.QueueUrl, *made.QueueUrl
	b.Cleanup(func() {
		_, err := raw.client.DeleteQueue(context.Background(), &awssqs.DeleteQueueInput{QueueUrl: &raw.queue})
		must(b, err)
	})

	_, err = q.Enqueue(ctx, args)
	must(b, err)
	out, err := raw.receive(raw.own)
	must(b, err)
	if len(out.Messages) != 1 {
		b.Fatalf("received %d messages, want 1", len(out.Messages))
	}
	raw.attributes = out.Messages[0].MessageAttributes
	raw.purge(raw.own)
	return raw, q
}

func (r *rawSQS) purge(queue string) {
	_, err := r.client.PurgeQueue(r.b.Context(), &awssqs.PurgeQueueInput{QueueUrl: &queue})
	must(r.b, err)
}

// send sends n messages in full requests, with as many under way as there are
// tens of producers: what 64 producers could do if each knew of the others.
func (r *rawSQS) send(n int, attributes map[string]types.MessageAttributeValue) {
	share(r.b, producers/sqsMost, n, sqsMost, func(n int) error {
		entries := make([]types.SendMessageBatchRequestEntry, n)
		for i := range entries {
			entries[i] = types.SendMessageBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(string(body)), MessageAttributes: attributes,
			}
		}
		_, err := r.client.SendMessageBatch(r.b.Context(), &awssqs.SendMessageBatchInput{QueueUrl: &r.queue, Entries: entries})
		return err
	})
}

// receive asks for what the driver asks for.
func (r *rawSQS) receive(queue string) (*awssqs.ReceiveMessageOutput, error) {
	return r.client.ReceiveMessage(r.b.Context(), &awssqs.ReceiveMessageInput{
		QueueUrl: &queue, MaxNumberOfMessages: sqsMost, WaitTimeSeconds: 1, VisibilityTimeout: 60,
		MessageAttributeNames: []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{
			types.MessageSystemAttributeNameSentTimestamp,
			types.MessageSystemAttributeNameApproximateReceiveCount,
			types.MessageSystemAttributeNameApproximateFirstReceiveTimestamp,
		},
	})
}

// drain receives and deletes n messages by four loops, and returns when the last
// is deleted. Polls that found nothing end later: loops waits for them.
func (r *rawSQS) drain(n int) (loops *sync.WaitGroup) {
	loops = &sync.WaitGroup{}
	var done atomic.Int64
	over := make(chan struct{}, 5)
	for range 4 {
		loops.Go(func() {
			for done.Load() < int64(n) {
				out, err := r.receive(r.queue)
				if err == nil && len(out.Messages) > 0 {
					err = r.remove(out.Messages)
				}
				if err != nil {
					r.b.Error(err)
					over <- struct{}{}
					return
				}
				if k := int64(len(out.Messages)); k > 0 && done.Add(k) == int64(n) {
					over <- struct{}{}
				}
			}
		})
	}
	<-over
	return loops
}

func (r *rawSQS) remove(messages []types.Message) error {
	entries := make([]types.DeleteMessageBatchRequestEntry, len(messages))
	for i := range entries {
		entries[i] = types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: messages[i].ReceiptHandle}
	}
	_, err := r.client.DeleteMessageBatch(r.b.Context(), &awssqs.DeleteMessageBatchInput{QueueUrl: &r.queue, Entries: entries})
	return err
}

// distances runs a benchmark with the server at hand, where what is compared is
// CPU time, which the server takes most of, and at 5 ms, the least that AWS takes,
// where requests wait as they do there.
func distances(b *testing.B, run func(b *testing.B, raw *rawSQS, q *batch.Queue[*sqs.Driver])) {
	for _, distance := range []time.Duration{0, 5 * time.Millisecond} {
		b.Run("distance="+distance.String(), func(b *testing.B) {
			raw, q := setupSQS(b, distance)
			run(b, raw, q)
		})
	}
}

// BenchmarkSQSEnqueue: 64 producers, each waiting for its own confirmation, and
// six that enqueue ten at a time, against raw requests of ten by six loops: with
// the attribute that batch needs, and bare.
func BenchmarkSQSEnqueue(b *testing.B) {
	distances(b, func(b *testing.B, raw *rawSQS, q *batch.Queue[*sqs.Driver]) {
		purge, purgeOwn := func() { raw.purge(raw.queue) }, func() { raw.purge(raw.own) }
		var rounds, requests int64
		compare(b, sqsJobs, []*contender{
			{name: "raw", target: "(>=0.9)", round: func() { raw.send(sqsJobs, raw.attributes) }, after: purge},
			{name: "bare", round: func() { raw.send(sqsJobs, nil) }, after: purge},
		}, []*contender{{
			name:   "batch",
			before: func() { requests -= raw.http.sends.Load() },
			round:  func() { enqueue(b, q, sqsJobs) },
			after:  func() { requests += raw.http.sends.Load(); rounds++; purgeOwn() },
		}, {
			name:  "many",
			round: func() { enqueueMany(b, q, producers/sqsMost, sqsJobs, sqsMost) },
			after: purgeOwn,
		}})
		b.ReportMetric(float64(rounds*sqsJobs)/float64(requests), "jobs/request")
	})
}

// BenchmarkSQSProcess: a worker whose handler does nothing against four raw loops
// that receive and delete by the ten, both over a backlog. For both the end is
// when nothing is left: polls that find nothing end a second later by themselves.
func BenchmarkSQSProcess(b *testing.B) {
	distances(b, func(b *testing.B, raw *rawSQS, q *batch.Queue[*sqs.Driver]) {
		var loops *sync.WaitGroup
		var w *batch.Worker
		compare(b, sqsJobs, []*contender{{
			name: "raw", target: "(>=0.6)",
			before: func() { raw.send(sqsJobs, raw.attributes) },
			round:  func() { loops = raw.drain(sqsJobs) },
			after:  func() { loops.Wait(); raw.purge(raw.queue) },
		}}, []*contender{{
			name:   "batch",
			before: func() { fill(b, q, sqsJobs) },
			round:  func() { w = handle(b, q, sqsJobs, adapted); awaitSettled(b, q) },
			after:  func() { must(b, w.Stop(b.Context())); raw.purge(raw.own) },
		}})
	})
}

// awaitSettled waits for the last settlements.
func awaitSettled(b *testing.B, q *batch.Queue[*sqs.Driver]) {
	for {
		depth, err := q.Depth(b.Context())
		must(b, err)
		if depth.Waiting+depth.Running == 0 {
			return
		}
	}
}
