package sqs

import (
	"context"
	"fmt"
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

// Both benchmarks run the raw SDK and the driver by turns on one server, and
// report the driver's rate and how many times the raw one's that is.

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

func (c *contender) run(n int, do func(n int)) {
	begin := time.Now()
	do(n)
	c.took += time.Since(begin)
	c.jobs += n
}

func (c *contender) rate() float64 { return float64(c.jobs) / c.took.Seconds() }

// benchSetup opens the driver and makes a queue for it and one for the raw SDK.
func benchSetup(b *testing.B) (d *Driver, q *batch.Queue[*Driver], rawURL string) {
	b.Helper()
	ctx := context.Background()
	d, err := Open(ctx, testURL(b, scheme))
	if err != nil {
		b.Fatal(err)
	}
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

// share has workers call do until n jobs were asked for, size at a time.
func share(workers, n, size int, do func(n int)) {
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
}

// rawSend sends n messages in requests of ten, as many under way as there are
// tens of producers: what 64 producers could do if each knew of the others.
func rawSend(b *testing.B, d *Driver, url, body string, n int) {
	share(benchProducers/requestEntries, n, requestEntries, func(n int) {
		entries := make([]types.SendMessageBatchRequestEntry, n)
		for i := range entries {
			entries[i] = types.SendMessageBatchRequestEntry{Id: entryIDs[i], MessageBody: &body}
		}
		if _, err := d.client.SendMessageBatch(context.Background(), &awssqs.SendMessageBatchInput{QueueUrl: &url, Entries: entries}); err != nil {
			b.Error(err)
		}
	})
}

// BenchmarkEnqueue has 64 producers enqueue one job at a time.
func BenchmarkEnqueue(b *testing.B) {
	d, q, url := benchSetup(b)
	body := `{"P":"` + benchArgs.P + `"}`
	var raw, ours contender
	for b.Loop() {
		raw.run(benchRound, func(n int) { rawSend(b, d, url, body, n) })
		ours.run(benchRound, func(n int) {
			share(benchProducers, n, 1, func(int) {
				if _, err := q.Enqueue(context.Background(), benchArgs); err != nil {
					b.Error(err)
				}
			})
		})
		drainRaw(b, d, url, benchRound)
		drain(b, d, q, benchRound)
	}
	report(b, &raw, &ours)
}

// BenchmarkEnqueueDriver compares requests of ten with requests of ten.
func BenchmarkEnqueueDriver(b *testing.B) {
	d, q, url := benchSetup(b)
	body := `{"P":"` + benchArgs.P + `"}`
	var raw, ours contender
	for b.Loop() {
		raw.run(benchRound, func(n int) { rawSend(b, d, url, body, n) })
		ours.run(benchRound, func(n int) { fill(b, d, q, n) })
		drainRaw(b, d, url, benchRound)
		drain(b, d, q, benchRound)
	}
	report(b, &raw, &ours)
}

// BenchmarkProcess has a worker run jobs that do nothing.
func BenchmarkProcess(b *testing.B) {
	d, q, url := benchSetup(b)
	body := `{"P":"` + benchArgs.P + `"}`
	var raw, ours contender
	for b.Loop() {
		rawSend(b, d, url, body, benchRound)
		raw.run(benchRound, func(n int) { drainRaw(b, d, url, n) })
		fill(b, d, q, benchRound)
		ours.run(benchRound, func(n int) { drain(b, d, q, n) })
	}
	report(b, &raw, &ours)
}

func report(b *testing.B, raw, ours *contender) {
	b.ReportMetric(raw.rate(), "raw-jobs/s")
	b.ReportMetric(ours.rate(), "jobs/s")
	b.ReportMetric(ours.rate()/raw.rate(), "ratio")
	b.ReportMetric(0, "ns/op")
}

// fill enqueues n jobs by the driver alone.
func fill(b *testing.B, d *Driver, q *batch.Queue[*Driver], n int) {
	body := []byte(`{"P":"` + benchArgs.P + `"}`)
	share(benchProducers/requestEntries, n, requestEntries, func(n int) {
		messages := make([]*driver.Message, n)
		for i := range messages {
			messages[i] = &driver.Message{ID: "01HZX3J5Q8Z7V6W5X4Y3Z2A1B0", Kind: "bench", ContentType: "application/json", Body: body, EnqueuedAt: time.Now(), MaxAttempts: 25}
		}
		for _, r := range d.Enqueue(context.Background(), q.Name(), messages) {
			if r.Err != nil {
				b.Error(r.Err)
			}
		}
	})
}

// drainRaw receives and deletes n messages in requests of ten, four at a time.
func drainRaw(b *testing.B, d *Driver, url string, n int) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var done atomic.Int64
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				out, err := d.client.ReceiveMessage(ctx, &awssqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: requestEntries, WaitTimeSeconds: 1, VisibilityTimeout: 30})
				if err != nil || len(out.Messages) == 0 {
					continue
				}
				entries := make([]types.DeleteMessageBatchRequestEntry, len(out.Messages))
				for i := range entries {
					entries[i] = types.DeleteMessageBatchRequestEntry{Id: entryIDs[i], ReceiptHandle: out.Messages[i].ReceiptHandle}
				}
				if _, err := d.client.DeleteMessageBatch(context.Background(), &awssqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: entries}); err != nil {
					b.Error(err)
				}
				if done.Add(int64(len(entries))) >= int64(n) {
					cancel()
				}
			}
		})
	}
	all.Wait()
}

// drain has a worker run n jobs, and returns when it has stopped.
func drain(b *testing.B, d *Driver, q *batch.Queue[*Driver], n int) {
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
	b.StopTimer()
	if err := w.Stop(context.Background()); err != nil {
		b.Error(err)
	}
	b.StartTimer()
}
