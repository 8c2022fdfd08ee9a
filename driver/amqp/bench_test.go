package amqp

import (
	"context"
	"fmt"
	"slices"
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
	producers   = 64
)

// rawPublish publishes n messages with so many of them unconfirmed, and returns
// how many a second.
func rawPublish(b *testing.B, queue string, unconfirmed, n int) float64 {
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
	window := make(chan *amqp091.DeferredConfirmation, unconfirmed)
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
// producers, who have no more than 64 unconfirmed between them: what the library
// reaches in a window of that size is reported as well.
func BenchmarkAgainstClient(b *testing.B) {
	d := open(b)
	for b.Loop() {
		q := queue(b, d)
		main := namesOf(q).main
		raw := rawPublish(b, main, benchWindow, benchJobs)
		rawOut := rawConsume(b, main, benchJobs)
		narrow := rawPublish(b, main, producers, benchJobs)
		rawConsume(b, main, benchJobs)
		ours := coalesced(b, d, q, producers, benchJobs)
		out := process(b, d, q, benchJobs)
		b.ReportMetric(raw, "raw-publish/s")
		b.ReportMetric(narrow, "raw-publish-64/s")
		b.ReportMetric(ours, "enqueue/s")
		b.ReportMetric(ours/raw, "enqueue-ratio")
		b.ReportMetric(rawOut, "raw-consume/s")
		b.ReportMetric(out, "process/s")
		b.ReportMetric(out/rawOut, "process-ratio")
	}
}

// BenchmarkDelay enqueues 20 000 jobs that are due over three seconds, receives
// them, and reports how fast they were enqueued and how late they came; and the
// same for a light load, 500 jobs over two seconds.
func BenchmarkDelay(b *testing.B) {
	for _, load := range []struct {
		name string
		jobs int
		over time.Duration
	}{{"light", 500, 2 * time.Second}, {"burst", 20000, 3 * time.Second}} {
		b.Run(load.name, func(b *testing.B) {
			d := open(b)
			for b.Loop() {
				rate, late := delays(b, d, load.jobs, load.over)
				b.ReportMetric(rate, "enqueue/s")
				b.ReportMetric(float64(late[len(late)/2])/1e6, "p50-late-ms")
				b.ReportMetric(float64(late[len(late)*99/100])/1e6, "p99-late-ms")
				b.ReportMetric(float64(late[len(late)-1])/1e6, "max-late-ms")
				if late[0] < 0 {
					b.Errorf("a job was %s early", -late[0])
				}
			}
		})
	}
}

// delays returns how fast jobs were enqueued, and how late each was, sorted.
func delays(b *testing.B, d *Driver, jobs int, over time.Duration) (rate float64, late []time.Duration) {
	q := queue(b, d)
	c := consume(b, d, q, 2000)
	defer c.Close(testContext(b))
	// The ladder of a queue is made with its first delayed job.
	enqueue(b, d, q, message("first", delay(maturity+shortest)))
	settle(b, c, driver.Settlement{Delivery: receive(b, c), Outcome: driver.Done})
	due := make([]time.Time, jobs)
	var filled sync.WaitGroup
	filled.Go(func() {
		const flights = 8
		start := time.Now()
		var all sync.WaitGroup
		for f := range flights {
			all.Go(func() {
				for i := f * 50; i < jobs; i += flights * 50 {
					batch := make([]*driver.Message, 0, 50)
					now := time.Now()
					for k := i; k < min(i+50, jobs); k++ {
						// At random over the time, from when all are enqueued.
						wait := time.Duration(k*7919%jobs) * over / time.Duration(jobs)
						at := start.Add(3*time.Second + wait)
						due[k] = at
						batch = append(batch, message(fmt.Sprint(k), delay(at.Sub(now))))
					}
					enqueue(b, d, q, batch...)
				}
			})
		}
		all.Wait()
		rate = float64(jobs) / time.Since(start).Seconds()
	})
	at := make([]time.Time, jobs)
	for n := 0; n < jobs; {
		got, err := c.Receive(testContext(b), 500)
		if err != nil {
			b.Fatal(err)
		}
		now := time.Now()
		var settlements []driver.Settlement
		for _, delivery := range got {
			var k int
			fmt.Sscan(delivery.ID, &k)
			at[k] = now
			settlements = append(settlements, driver.Settlement{Delivery: delivery, Outcome: driver.Done})
		}
		c.Settle(testContext(b), settlements)
		n += len(got)
	}
	filled.Wait()
	for k := range at {
		late = append(late, at[k].Sub(due[k]))
	}
	slices.Sort(late)
	return rate, late
}
