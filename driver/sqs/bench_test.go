package sqs

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// The benchmarks run the raw SDK and the driver by turns on one server, and report
// the driver's rate and how many times the raw one's that is. The raw SDK sends
// the body with the same attribute, as whoever wants retries has to, or without
// any ("bare"), and has no other work. At distance 0 the test server answers in
// less than a millisecond, and what is compared is CPU time, which it shares with
// the server; at 5 ms, the least that AWS takes, requests wait as they do there.

const (
	benchProducers = 64
	benchRound     = 4000 // jobs
)

// payload is 256 bytes of JSON.
type payload struct{ P string }

// Kind is the kind of every job of the benchmarks.
func (payload) Kind() string { return "bench" }

var benchArgs = payload{strings.Repeat("x", 256-len(`{"P":""}`))}

// contender adds up the rounds of one side.
type contender struct {
	jobs int
	took time.Duration
}

// run times do, which says when the last job was over: what comes after that,
// such as polls that end by themselves, does not count.
func (c *contender) run(n int, do func(n int) time.Time) {
	begin := time.Now()
	c.took += do(n).Sub(begin)
	c.jobs += n
}

func (c *contender) rate() float64 { return float64(c.jobs) / c.took.Seconds() }

// benchSetup opens the driver and makes a queue for it and one for the raw SDK.
func benchSetup(b *testing.B, distance time.Duration) (d *Driver, q *batch.Queue[*Driver], rawURL string) {
	b.Helper()
	ctx := context.Background()
	d, err := Open(ctx, testURL(b, scheme))
	if err != nil {
		b.Fatal(err)
	}
	sends.Store(0)
	d.client = awssqs.New(d.client.Options(), func(o *awssqs.Options) { o.HTTPClient = far{o.HTTPClient, distance} })
	unique := fmt.Sprint("bench-", time.Now().UnixNano())
	q = batch.NewQueue(d, unique)
	if err := q.Declare(ctx); err != nil {
		b.Fatal(err)
	}
	made, err := d.client.CreateQueue(ctx, &awssqs.CreateQueueInput{QueueName: aws.String(unique + "-raw")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_, _ = d.client.DeleteQueue(ctx, &awssqs.DeleteQueueInput{QueueUrl: made.QueueUrl})
		_ = d.DeleteQueue(ctx, unique)
		_ = d.Close(ctx)
	})
	return d, q, *made.QueueUrl
}

// sends counts requests to send.
var sends atomic.Int64

// far is a client at a distance.
type far struct {
	awssqs.HTTPClient
	distance time.Duration
}

// Do waits for the request's way.
func (f far) Do(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".SendMessageBatch") {
		sends.Add(1)
	}
	if f.distance > 0 {
		time.Sleep(f.distance)
	}
	return f.HTTPClient.Do(r)
}

// distances are the sub-benchmarks.
func distances(b *testing.B, run func(b *testing.B, distance time.Duration)) {
	for _, distance := range []time.Duration{0, 5 * time.Millisecond} {
		b.Run("distance="+distance.String(), func(b *testing.B) { run(b, distance) })
	}
}

// share has workers call do until n jobs were asked for, size at a time.
func share(workers, n, size int, do func(n int)) time.Time {
	var next atomic.Int64
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for {
				at := int(next.Add(int64(size))) - size
				if at >= n {
					return
				}
				do(min(size, n-at))
			}
		})
	}
	all.Wait()
	return time.Now()
}

// rawSend sends n messages in requests of ten, as many under way as there are
// tens of producers: what 64 producers could do if each knew of the others.
func rawSend(b *testing.B, d *Driver, url, body, meta string, n int) time.Time {
	return share(benchProducers/requestEntries, n, requestEntries, func(n int) {
		entries := make([]types.SendMessageBatchRequestEntry, n)
		for i := range entries {
			entries[i] = types.SendMessageBatchRequestEntry{Id: entryIDs[i], MessageBody: &body}
			if meta != "" {
				entries[i].MessageAttributes = map[string]types.MessageAttributeValue{attribute: {DataType: dataType, StringValue: &meta}}
			}
		}
		if _, err := d.client.SendMessageBatch(context.Background(), &awssqs.SendMessageBatchInput{QueueUrl: &url, Entries: entries}); err != nil {
			b.Error(err)
		}
	})
}

var benchBody = `{"P":"` + benchArgs.P + `"}`

func benchMessage() *driver.Message {
	return &driver.Message{
		ID: "01HZX3J5Q8Z7V6W5X4Y3Z2A1B0", Kind: "bench", ContentType: "application/json",
		Body: []byte(benchBody), EnqueuedAt: time.Now(), MaxAttempts: 25,
	}
}

// benchMeta is the attribute of such a message.
func benchMeta() string {
	d := metaOf(benchMessage(), encodingText)
	return d.text()
}

// enqueueRound compares one way to enqueue with the raw SDK, round by round.
func enqueueRound(b *testing.B, distance time.Duration, enqueue func(d *Driver, q *batch.Queue[*Driver], n int) time.Time) {
	d, q, url := benchSetup(b, distance)
	meta := benchMeta()
	var bare, raw, ours contender
	var requests int64
	for b.Loop() {
		bare.run(benchRound, func(n int) time.Time { return rawSend(b, d, url, benchBody, "", n) })
		drainRaw(b, d, url, benchRound)
		raw.run(benchRound, func(n int) time.Time { return rawSend(b, d, url, benchBody, meta, n) })
		drainRaw(b, d, url, benchRound)
		before := sends.Load()
		ours.run(benchRound, func(n int) time.Time { return enqueue(d, q, n) })
		requests += sends.Load() - before
		drain(b, d, q, benchRound)
	}
	report(b, &bare, &raw, &ours)
	b.ReportMetric(float64(ours.jobs)/float64(requests), "jobs/request")
}

// BenchmarkEnqueue has 64 producers enqueue one job at a time.
func BenchmarkEnqueue(b *testing.B) {
	distances(b, func(b *testing.B, distance time.Duration) {
		enqueueRound(b, distance, func(_ *Driver, q *batch.Queue[*Driver], n int) time.Time {
			return share(benchProducers, n, 1, func(int) {
				if _, err := q.Enqueue(context.Background(), benchArgs); err != nil {
					b.Error(err)
				}
			})
		})
	})
}

// BenchmarkEnqueueDriver compares requests of ten with requests of ten.
func BenchmarkEnqueueDriver(b *testing.B) {
	distances(b, func(b *testing.B, distance time.Duration) {
		enqueueRound(b, distance, func(d *Driver, q *batch.Queue[*Driver], n int) time.Time { return fill(b, d, q, n) })
	})
}

// BenchmarkProcess has a worker run jobs that do nothing; the raw SDK receives and
// deletes in four loops.
func BenchmarkProcess(b *testing.B) {
	distances(b, func(b *testing.B, distance time.Duration) {
		d, q, url := benchSetup(b, distance)
		meta := benchMeta()
		var bare, raw, ours contender
		for b.Loop() {
			rawSend(b, d, url, benchBody, "", benchRound)
			bare.run(benchRound, func(n int) time.Time { return drainRaw(b, d, url, n) })
			rawSend(b, d, url, benchBody, meta, benchRound)
			raw.run(benchRound, func(n int) time.Time { return drainRaw(b, d, url, n) })
			fill(b, d, q, benchRound)
			ours.run(benchRound, func(n int) time.Time { return drain(b, d, q, n) })
		}
		report(b, &bare, &raw, &ours)
	})
}

func report(b *testing.B, bare, raw, ours *contender) {
	b.ReportMetric(bare.rate(), "bare-jobs/s")
	b.ReportMetric(raw.rate(), "raw-jobs/s")
	b.ReportMetric(ours.rate(), "jobs/s")
	b.ReportMetric(ours.rate()/raw.rate(), "ratio")
	b.ReportMetric(ours.rate()/bare.rate(), "ratio-to-bare")
	b.ReportMetric(0, "ns/op")
}

// fill enqueues n jobs by the driver alone, in tens.
func fill(b *testing.B, d *Driver, q *batch.Queue[*Driver], n int) time.Time {
	return share(benchProducers/requestEntries, n, requestEntries, func(n int) {
		messages := make([]*driver.Message, n)
		for i := range messages {
			messages[i] = benchMessage()
		}
		for _, r := range d.Enqueue(context.Background(), q.Name(), messages) {
			if r.Err != nil {
				b.Error(r.Err)
			}
		}
	})
}

// drainRaw receives and deletes n messages in requests of ten, four at a time,
// and says when the last was deleted. Polls are not cut off: one could swallow a
// message of the next round.
func drainRaw(b *testing.B, d *Driver, url string, n int) time.Time {
	ctx := context.Background()
	var done atomic.Int64
	var all sync.WaitGroup
	var over time.Time
	for range 4 {
		all.Go(func() {
			for done.Load() < int64(n) {
				out, err := d.client.ReceiveMessage(ctx, &awssqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: requestEntries, WaitTimeSeconds: 1, VisibilityTimeout: 30, MessageAttributeNames: wantedAttributes, MessageSystemAttributeNames: systemAttributes})
				if err != nil {
					b.Error(err)
					return
				}
				if len(out.Messages) == 0 {
					continue
				}
				entries := make([]types.DeleteMessageBatchRequestEntry, len(out.Messages))
				for i := range entries {
					entries[i] = types.DeleteMessageBatchRequestEntry{Id: entryIDs[i], ReceiptHandle: out.Messages[i].ReceiptHandle}
				}
				if _, err := d.client.DeleteMessageBatch(ctx, &awssqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: entries}); err != nil {
					b.Error(err)
				}
				if done.Add(int64(len(entries))) == int64(n) {
					over = time.Now()
				}
			}
		})
	}
	all.Wait()
	return over
}

// drain has a worker run n jobs and stops it, and says when the last was done.
func drain(b *testing.B, d *Driver, q *batch.Queue[*Driver], n int) time.Time {
	w := batch.NewWorker(d, batch.WorkerConfig{
		Queues: []batch.WorkerQueue{{Name: q.Name(), Concurrency: 64, Prefetch: 128}}, Hooks: []batch.Hook{},
	})
	var done atomic.Int64
	over := make(chan struct{})
	batch.Handle(w, func(context.Context, *batch.Job[payload]) error {
		if done.Add(1) == int64(n) {
			close(over)
		}
		return nil
	})
	if err := w.Start(context.Background()); err != nil {
		b.Fatal(err)
	}
	<-over
	for { // the last settlements may be on their way
		depth, err := q.Depth(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		if depth.Waiting+depth.Running == 0 {
			break
		}
	}
	end := time.Now()
	if err := w.Stop(context.Background()); err != nil {
		b.Error(err)
	}
	return end
}
