package nats_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/nats"
	"github.com/batch-go/batch/internal/brokers"
)

// The benchmarks set the driver beside the client library on one server, in
// rounds that alternate, and report ratios: on a machine that is shared these
// say something where rates do not. Bodies have 256 bytes, streams are on files,
// everything is confirmed.

const (
	producers = 64
	roundJobs = 20_000
	bodySize  = 256
)

type payload struct{ P string }

// Kind names the job.
func (payload) Kind() string { return "bench" }

var (
	benchArgs = payload{strings.Repeat("x", bodySize-len(`{"P":""}`))}
	benchBody = []byte(`{"P":"` + benchArgs.P + `"}`)
)

// stopwatch adds up the rounds of one contender.
type stopwatch struct {
	jobs int
	took time.Duration
}

func (s *stopwatch) time(n int, do func()) {
	start := time.Now()
	do()
	s.took += time.Since(start)
	s.jobs += n
}

func (s *stopwatch) rate() float64 { return float64(s.jobs) / s.took.Seconds() }

// bench is one server with a raw stream and a queue.
type bench struct {
	b      *testing.B
	js     jetstream.JetStream
	stream jetstream.Stream
	d      *nats.Driver
	q      *batch.Queue[*nats.Driver]
	name   string
}

func newBench(b *testing.B) *bench {
	b.Helper()
	server := brokers.NATS(b, brokers.NATS2)
	nc, err := natsgo.Connect(server.URL())
	must(b, err)
	b.Cleanup(nc.Close)
	// Its limit of messages under way is not to be what is measured.
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(100_000))
	must(b, err)
	d, err := nats.Open(b.Context(), server.URL())
	must(b, err)
	s := &bench{b: b, js: js, d: d, name: fmt.Sprint("bench-", time.Now().UnixNano())}
	s.q = batch.NewQueue(d, s.name)
	must(b, s.q.Declare(b.Context()))
	s.stream, err = js.CreateStream(b.Context(), jetstream.StreamConfig{Name: s.name, Subjects: []string{s.name}, Retention: jetstream.WorkQueuePolicy})
	must(b, err)
	b.Cleanup(func() {
		ctx := context.Background()
		_ = js.DeleteStream(ctx, s.name)
		_ = d.DeleteQueue(ctx, s.name)
		must(b, d.Close(ctx))
	})
	return s
}

// spread has the producers make all calls of a round.
func spread(b *testing.B, do func() error) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range producers {
		all.Go(func() {
			for next.Add(1) <= roundJobs {
				if err := do(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// BenchmarkEnqueue has 64 producers that wait for their own confirmation each:
// by PublishAsync, by the driver a message at a time, and by a queue.
func BenchmarkEnqueue(b *testing.B) {
	s := newBench(b)
	ctx := b.Context()
	var raw, single, queue stopwatch
	var n atomic.Int64
	at := time.Now().UTC().Truncate(time.Millisecond)
	for b.Loop() {
		raw.time(roundJobs, func() {
			spread(b, func() error {
				ack, err := s.js.PublishAsync(s.name, benchBody)
				if err != nil {
					return err
				}
				select {
				case <-ack.Ok():
					return nil
				case err := <-ack.Err():
					return err
				}
			})
		})
		must(b, s.stream.Purge(ctx))
		single.time(roundJobs, func() {
			spread(b, func() error {
				m := &driver.Message{ID: fmt.Sprintf("01HZY6B1Q2M3N4P5R6%09d", n.Add(1)), Kind: "bench", Body: benchBody, ContentType: "application/json", EnqueuedAt: at}
				for _, r := range s.d.Enqueue(ctx, s.name, []*driver.Message{m}) {
					return r.Err
				}
				return nil
			})
		})
		queue.time(roundJobs, func() {
			spread(b, func() error { _, err := s.q.Enqueue(ctx, benchArgs); return err })
		})
		must(b, s.d.DeleteQueue(ctx, s.name))
		must(b, s.d.Declare(ctx, s.name))
	}
	b.ReportMetric(raw.rate(), "raw/s")
	b.ReportMetric(single.rate(), "driver/s")
	b.ReportMetric(queue.rate(), "queue/s")
	b.ReportMetric(single.rate()/raw.rate(), "driver-x-raw")
	b.ReportMetric(queue.rate()/raw.rate(), "queue-x-raw(>=0.7)")
}

// BenchmarkProcess drains a backlog: by the client library in batches of 500
// with an Ack each, by the driver in batches of 500, and by a worker whose
// handler does nothing.
func BenchmarkProcess(b *testing.B) {
	s := newBench(b)
	ctx := b.Context()
	consumer, err := s.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "raw", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1})
	must(b, err)
	var raw, direct, worker stopwatch
	for b.Loop() {
		for range roundJobs {
			_, err := s.js.PublishAsync(s.name, benchBody)
			must(b, err)
		}
		<-s.js.PublishAsyncComplete()
		raw.time(roundJobs, func() { s.drainRaw(consumer) })

		s.fill()
		direct.time(roundJobs, func() { s.drainDriver() })

		s.fill()
		var handled atomic.Int64
		done := make(chan struct{})
		w := batch.NewWorker(s.d, batch.WorkerConfig{
			Queues: []batch.WorkerQueue{{Name: s.name, Concurrency: 64, Prefetch: 936}},
			Hooks:  []batch.Hook{},
		})
		batch.Handle(w, func(context.Context, *batch.Job[payload]) error {
			if handled.Add(1) == roundJobs {
				close(done)
			}
			return nil
		})
		worker.time(roundJobs, func() {
			must(b, w.Start(ctx))
			<-done
			// The stop is part of it: the last settlements are confirmed then.
			must(b, w.Stop(ctx))
		})
	}
	b.ReportMetric(raw.rate(), "raw/s")
	b.ReportMetric(direct.rate(), "driver/s")
	b.ReportMetric(worker.rate(), "worker/s")
	b.ReportMetric(direct.rate()/raw.rate(), "driver-x-raw")
	b.ReportMetric(worker.rate()/raw.rate(), "worker-x-raw(>=0.6)")
}

// fill enqueues a round.
func (s *bench) fill() {
	spread(s.b, func() error { _, err := s.q.Enqueue(s.b.Context(), benchArgs); return err })
}

func (s *bench) drainRaw(c jetstream.Consumer) {
	for left := roundJobs; left > 0; {
		messages, err := c.FetchNoWait(500)
		must(s.b, err)
		for m := range messages.Messages() {
			must(s.b, m.Ack())
			left--
		}
		must(s.b, messages.Error())
	}
	must(s.b, s.js.Conn().Flush())
}

func (s *bench) drainDriver() {
	ctx := s.b.Context()
	c, err := s.d.Consume(ctx, s.name, driver.ConsumeOptions{Lease: 30 * time.Second, Prefetch: 500})
	must(s.b, err)
	for left := roundJobs; left > 0; {
		deliveries, err := c.Receive(ctx, 500)
		must(s.b, err)
		settlements := make([]driver.Settlement, len(deliveries))
		for i, d := range deliveries {
			settlements[i] = driver.Settlement{Delivery: d, Outcome: driver.Done}
		}
		for _, err := range c.Settle(ctx, settlements) {
			must(s.b, err)
		}
		left -= len(deliveries)
	}
	must(s.b, c.Close(ctx))
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
