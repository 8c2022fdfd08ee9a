package amqp

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/coalesce"
)

// The benchmarks here measure the driver against the client library by itself, in
// turns on one broker, and report the ratio: figures of one machine say nothing of
// another's. What the ratios must be is in docs/wire-amqp.md.

const (
	benchBody   = 256
	benchWindow = 2000
	benchJobs   = 20000
)

// rawPublish publishes n messages with up to a window of them unconfirmed, and
// returns how many a second.
func rawPublish(b *testing.B, queue string, n int) float64 {
	conn, err := amqp091.Dial(testURL(b))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		b.Fatal(err)
	}
	if err := ch.Confirm(false); err != nil {
		b.Fatal(err)
	}
	body := make([]byte, benchBody)
	window := make(chan *amqp091.DeferredConfirmation, benchWindow)
	var confirmed sync.WaitGroup
	confirmed.Go(func() {
		for c := range window {
			if !c.Wait() {
				b.Error("not confirmed")
			}
		}
	})
	start := time.Now()
	for i := range n {
		c, err := ch.PublishWithDeferredConfirm("", queue, true, false, amqp091.Publishing{
			DeliveryMode: amqp091.Persistent, MessageId: fmt.Sprint(i), Type: "bench", ContentType: "application/json", Timestamp: start, Body: body,
		})
		if err != nil {
			b.Fatal(err)
		}
		window <- c
	}
	close(window)
	confirmed.Wait()
	return float64(n) / time.Since(start).Seconds()
}

// rawConsume consumes and acknowledges n messages, 100 at a time.
func rawConsume(b *testing.B, queue string, n int) float64 {
	conn, err := amqp091.Dial(testURL(b))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		b.Fatal(err)
	}
	if err := ch.Qos(1000, 0, false); err != nil {
		b.Fatal(err)
	}
	deliveries, err := ch.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	for i := 1; i <= n; i++ {
		d := <-deliveries
		if i%100 == 0 || i == n {
			if err := d.Ack(true); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := ch.Qos(1000, 0, false); err != nil {
		b.Fatal(err)
	}
	return float64(n) / time.Since(start).Seconds()
}

// coalesced enqueues n jobs from a number of producers, which share calls as those
// of the core do, and returns how many a second.
func coalesced(b *testing.B, d driver.Driver, queue string, producers, n int) float64 {
	type call struct {
		m    *driver.Message
		done chan error
	}
	l := d.Info().Limits
	c := coalesce.New(coalesce.Limits{Items: l.EnqueueBatch, Bytes: l.EnqueueBytes, Flights: l.Publishers}, func(batch []*call) {
		messages := make([]*driver.Message, len(batch))
		for i, p := range batch {
			messages[i] = p.m
		}
		results := d.Enqueue(context.Background(), queue, messages)
		for i, p := range batch {
			var err error
			if results != nil {
				err = results[i].Err
			}
			p.done <- err
		}
	})
	body := make([]byte, benchBody)
	var all sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(n))
	start := time.Now()
	for range producers {
		all.Go(func() {
			p := &call{done: make(chan error, 1)}
			for {
				i := left.Add(-1)
				if i < 0 {
					return
				}
				p.m = &driver.Message{ID: fmt.Sprint(i), Kind: "bench", Body: body, ContentType: "application/json", EnqueuedAt: start}
				c.Add(p, benchBody)
				if err := <-p.done; err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return float64(n) / time.Since(start).Seconds()
}

func process(b *testing.B, d driver.Driver, queue string, n int) float64 {
	c := consume(b, d, queue, 1000)
	defer c.Close(testContext(b))
	ctx := testContext(b)
	start := time.Now()
	for left := n; left > 0; {
		got, err := c.Receive(ctx, 250)
		if err != nil {
			b.Fatal(err)
		}
		settlements := make([]driver.Settlement, len(got))
		for i := range got {
			settlements[i] = driver.Settlement{Delivery: got[i], Outcome: driver.Done}
		}
		for _, err := range c.Settle(ctx, settlements) {
			if err != nil {
				b.Fatal(err)
			}
		}
		left -= len(got)
	}
	return float64(n) / time.Since(start).Seconds()
}

// BenchmarkAgainstClient publishes and processes 256-byte jobs, durable and
// confirmed, by the client library in a window of 2000 and by the driver with 64
// producers.
func BenchmarkAgainstClient(b *testing.B) {
	d := open(b)
	for b.Loop() {
		q := queue(b, d)
		main := namesOf(q).main
		raw := rawPublish(b, main, benchJobs)
		rawOut := rawConsume(b, main, benchJobs)
		ours := coalesced(b, d, q, 64, benchJobs)
		out := process(b, d, q, benchJobs)
		b.ReportMetric(raw, "raw-publish/s")
		b.ReportMetric(ours, "enqueue/s")
		b.ReportMetric(ours/raw, "enqueue-ratio")
		b.ReportMetric(rawOut, "raw-consume/s")
		b.ReportMetric(out, "process/s")
		b.ReportMetric(out/rawOut, "process-ratio")
	}
}
