package bench

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/amqp"
	"github.com/batch-go/batch/internal/brokers"
)

// rabbit is a raw connection with a queue like that of the driver.
type rabbit struct {
	b     *testing.B
	conn  *amqp091.Connection
	queue string
}

// setupRabbitMQ connects the raw client and the driver to one RabbitMQ.
func setupRabbitMQ(b *testing.B) (*rabbit, *batch.Queue[*amqp.Driver]) {
	b.Helper()
	server := brokers.RabbitMQ(b, brokers.RabbitMQ4)
	d, err := amqp.Open(b.Context(), server.URL())
	must(b, err)
	q := newQueue(b, d)
	conn, err := amqp091.Dial(server.URL())
	must(b, err)
	raw := &rabbit{b, conn, q.Name() + "-raw"}
	b.Cleanup(func() { must(b, conn.Close()) })
	raw.on(func(ch *amqp091.Channel) {
		_, err := ch.QueueDeclare(raw.queue, true, false, false, false, amqp091.Table{
			"x-queue-type": "quorum", "x-delivery-limit": int64(-1),
		})
		must(b, err)
	})
	b.Cleanup(func() {
		raw.on(func(ch *amqp091.Channel) { _, err := ch.QueueDelete(raw.queue, false, false, false); must(b, err) })
	})
	return raw, q
}

// purge empties a queue. A new one, as renew makes, is slower at first.
func purge(b *testing.B, q *batch.Queue[*amqp.Driver]) {
	_, err := batch.Purge(b.Context(), q)
	must(b, err)
}

// on opens a channel for do.
func (r *rabbit) on(do func(ch *amqp091.Channel)) {
	ch, err := r.conn.Channel()
	must(r.b, err)
	do(ch)
	must(r.b, ch.Close())
}

func (r *rabbit) purge() {
	r.on(func(ch *amqp091.Channel) { _, err := ch.QueuePurge(r.queue, false); must(r.b, err) })
}

// publish publishes n messages in a loop, with up to window of them unconfirmed. With one it waits
// for each itself.
func (r *rabbit) publish(n, window int) {
	r.on(func(ch *amqp091.Channel) {
		must(r.b, ch.Confirm(false))
		if window == 1 {
			for i := range n {
				c, err := r.send(ch, i, time.Now())
				must(r.b, err)
				if !c.Wait() {
					r.b.Error("not confirmed")
				}
			}
			return
		}
		unconfirmed := make(chan *amqp091.DeferredConfirmation, window)
		var all sync.WaitGroup
		all.Go(func() {
			for c := range unconfirmed {
				if !c.Wait() {
					r.b.Error("not confirmed")
				}
			}
		})
		now := time.Now()
		for i := range n {
			c, err := r.send(ch, i, now)
			must(r.b, err)
			unconfirmed <- c
		}
		close(unconfirmed)
		all.Wait()
	})
}

// send publishes a message.
func (r *rabbit) send(ch *amqp091.Channel, i int, now time.Time) (*amqp091.DeferredConfirmation, error) {
	return ch.PublishWithDeferredConfirm("", r.queue, true, false, amqp091.Publishing{
		DeliveryMode: amqp091.Persistent, MessageId: fmt.Sprint(i), Type: "bench",
		ContentType: "application/json", Timestamp: now, Body: body,
	})
}

// consume takes n messages and acknowledges them by the hundred.
func (r *rabbit) consume(n int) {
	r.on(func(ch *amqp091.Channel) {
		must(r.b, ch.Qos(1000, 0, false))
		deliveries, err := ch.Consume(r.queue, "", false, false, false, false, nil)
		must(r.b, err)
		for i := 1; i <= n; i++ {
			d, ok := <-deliveries
			if !ok {
				r.b.Fatal("the channel was closed")
			}
			if i%100 == 0 || i == n {
				must(r.b, d.Ack(true))
			}
		}
		// An ack has no answer, but what comes after it has.
		must(r.b, ch.Qos(1000, 0, false))
	})
}

// BenchmarkRabbitMQEnqueue: 64 producers, each waiting for its own confirmation,
// against a raw loop with a window of 2000, and against one with a window of 64,
// which is all that such producers can have unconfirmed. With 32 jobs to a call
// they can have as much as the loop.
func BenchmarkRabbitMQEnqueue(b *testing.B) {
	raw, q := setupRabbitMQ(b)
	compare(b, jobs, []*contender{
		{name: "raw", target: "(>=0.7)", round: func() { raw.publish(jobs, 2000) }, after: raw.purge},
		{name: "raw-64", round: func() { raw.publish(jobs, producers) }, after: raw.purge},
	}, []*contender{
		{name: "batch", round: func() { enqueue(b, q, jobs) }, after: func() { purge(b, q) }},
		{name: "many", round: func() { enqueueMany(b, q, producers, jobs, 32) }, after: func() { purge(b, q) }},
	})
}

// BenchmarkRabbitMQEnqueueAlone: one producer, with a context that never ends and with one that
// has a deadline, against one that publishes and waits for the confirmation.
func BenchmarkRabbitMQEnqueueAlone(b *testing.B) {
	const turn = 1000
	raw, q := setupRabbitMQ(b)
	deadline, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()
	enqueue := func(ctx context.Context) func() {
		return func() {
			share(b, 1, turn, 1, func(int) error { _, err := q.Enqueue(ctx, args); return err })
		}
	}
	renewal := func() { purge(b, q) }
	compare(b, turn, []*contender{{
		name: "raw", target: "(>=0.9)", round: func() { raw.publish(turn, 1) }, after: raw.purge,
	}}, []*contender{
		{name: "batch", round: enqueue(context.Background()), after: renewal},
		{name: "deadline", round: enqueue(deadline), after: renewal},
	})
}

// BenchmarkRabbitMQProcess: a worker whose handler does nothing against a raw
// consumer with a prefetch of 1000, both over a backlog.
func BenchmarkRabbitMQProcess(b *testing.B) {
	raw, q := setupRabbitMQ(b)
	compare(b, backlog, []*contender{{
		name: "raw", target: "(>=0.6)",
		before: func() { raw.publish(backlog, 2000) },
		round:  func() { raw.consume(backlog) },
		after:  raw.purge,
	}}, processing(b, q, func() { renew(b, q) }))
}

// delayed is a job that knows when it is due. It encodes to bodySize bytes.
type delayed struct {
	Due int64 // in ms since 1970
	P   string
}

// Kind names the job.
func (delayed) Kind() string { return "delayed" }

var padding = strings.Repeat("x", bodySize-len(`{"Due":1700000000000,"P":""}`))

// BenchmarkRabbitMQDelay: how fast jobs with a delay are enqueued, and how late
// they are, with many due in a short time and with few. The client has no delays
// to compare with.
func BenchmarkRabbitMQDelay(b *testing.B) {
	for _, load := range []struct {
		name         string
		jobs         int
		lead, spread time.Duration
		rate, late   string
	}{
		{"light", 500, time.Second, 2 * time.Second, "", "(<100)"},
		{"burst", jobs, 3 * time.Second, 3 * time.Second, "(>=5000)", "(<2500)"},
	} {
		b.Run(load.name, func(b *testing.B) {
			_, q := setupRabbitMQ(b)
			var sent stopwatch
			var late []time.Duration
			for b.Loop() {
				late = append(late, delay(b, q, &sent, load.jobs, load.lead, load.spread)...)
			}
			b.ReportMetric(sent.rate(), "enqueue/s"+load.rate)
			b.ReportMetric(ms(percentile(late, 50)), "late-p50-ms")
			b.ReportMetric(ms(percentile(late, 99)), "late-p99-ms"+load.late)
			b.ReportMetric(ms(percentile(late, 100)), "late-max-ms")
			b.ReportMetric(0, "ns/op")
			if first := percentile(late, 0); first < 0 {
				b.Errorf("a job was %s early", -first)
			}
		})
	}
}

// delay enqueues n jobs, in no order due over spread after lead, which is for
// enqueueing them, and returns how late each of them started.
func delay(b *testing.B, q *batch.Queue[*amqp.Driver], sent *stopwatch, n int, lead, spread time.Duration) []time.Duration {
	ctx := b.Context()
	started := make(chan time.Duration, n)
	w := newWorker(q, adapted)
	batch.Handle(w, func(_ context.Context, job *batch.Job[delayed]) error {
		due := time.UnixMilli(job.Args.Due)
		if job.EnqueuedAt.After(due) {
			due = job.EnqueuedAt // the producers are behind, which is not the broker's delay
		}
		started <- time.Since(due)
		return nil
	})
	must(b, w.Start(ctx))
	request := func(due time.Time) batch.Request[*amqp.Driver] {
		due = due.Truncate(time.Millisecond)
		return batch.Request[*amqp.Driver]{
			Args: delayed{due.UnixMilli(), padding}, Options: []batch.Option[*amqp.Driver]{batch.At(q, due)},
		}
	}
	// The driver makes what holds jobs back with the first of them.
	_, err := q.EnqueueMany(ctx, []batch.Request[*amqp.Driver]{request(time.Now().Add(200 * time.Millisecond))})
	must(b, err)
	<-started

	dues := make(chan time.Time, n)
	begin := time.Now().Add(lead)
	for k := range n {
		// 7919 is a prime: every time once, far from the one before.
		dues <- begin.Add(time.Duration(k*7919%n) * spread / time.Duration(n))
	}
	sent.time(n, func() {
		share(b, 8, n, 50, func(n int) error {
			requests := make([]batch.Request[*amqp.Driver], n)
			for i := range requests {
				requests[i] = request(<-dues)
			}
			_, err := q.EnqueueMany(ctx, requests)
			return err
		})
	})
	if b.Failed() {
		b.FailNow()
	}
	late := make([]time.Duration, n)
	for i := range late {
		late[i] = <-started
	}
	must(b, w.Stop(ctx))
	return late
}
