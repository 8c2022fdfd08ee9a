package bench

import (
	"context"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/nats"
	"github.com/batch-go/batch/driver/nats/embedded"
	"github.com/batch-go/batch/internal/brokers"
)

// window is how many messages the raw loop has unconfirmed: the client's own
// default.
const window = 4000

// rawJetStream is a raw connection with a stream of its own, on files like the
// driver's.
type rawJetStream struct {
	b       *testing.B
	js      jetstream.JetStream
	stream  jetstream.Stream
	subject string
}

// setupJetStream connects the raw client and the driver to one server.
func setupJetStream(b *testing.B) (*rawJetStream, *batch.Queue[*nats.Driver]) {
	b.Helper()
	server := brokers.NATS(b, brokers.NATS2)
	d, err := nats.Open(b.Context(), server.URL())
	must(b, err)
	q := newQueue(b, d)
	nc, err := natsgo.Connect(server.URL())
	must(b, err)
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(window),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, _ *natsgo.Msg, err error) { b.Error(err) }))
	must(b, err)
	raw := &rawJetStream{b: b, js: js, subject: q.Name() + "-raw"}
	raw.stream, err = js.CreateStream(b.Context(), jetstream.StreamConfig{
		Name: raw.subject, Subjects: []string{raw.subject}, Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage,
	})
	must(b, err)
	b.Cleanup(func() { must(b, js.DeleteStream(context.Background(), raw.subject)) })
	return raw, q
}

func (r *rawJetStream) purge() { must(r.b, r.stream.Purge(r.b.Context())) }

// publishOne publishes a message and waits for its confirmation.
func (r *rawJetStream) publishOne() error {
	ack, err := r.js.PublishAsync(r.subject, body)
	if err != nil {
		return err
	}
	select {
	case <-ack.Ok():
		return nil
	case err := <-ack.Err():
		return err
	}
}

// publish publishes n messages in a loop, with up to window of them unconfirmed.
func (r *rawJetStream) publish(n int) {
	for range n {
		_, err := r.js.PublishAsync(r.subject, body, jetstream.WithStallWait(time.Minute))
		must(r.b, err)
	}
	<-r.js.PublishAsyncComplete()
}

// consume takes n messages by the 500 and acknowledges each.
func (r *rawJetStream) consume(c jetstream.Consumer, n int) {
	for left := n; left > 0; {
		messages, err := c.Fetch(min(left, 500))
		must(r.b, err)
		for m := range messages.Messages() {
			must(r.b, m.Ack())
			left--
		}
		must(r.b, messages.Error())
	}
	must(r.b, r.js.Conn().Flush())
}

// BenchmarkJetStreamEnqueue: 64 producers, each waiting for its own confirmation,
// against 64 goroutines that do the same by PublishAsync, and against one loop
// with 4000 unconfirmed. With 32 jobs to a call they can have as many as the loop.
func BenchmarkJetStreamEnqueue(b *testing.B) {
	raw, q := setupJetStream(b)
	compare(b, jobs, []*contender{
		{name: "raw", target: "(>=0.7)", round: func() { spread(b, jobs, raw.publishOne) }, after: raw.purge},
		{name: "raw-loop", round: func() { raw.publish(jobs) }, after: raw.purge},
	}, []*contender{
		{name: "batch", round: func() { enqueue(b, q, jobs) }, after: func() { renew(b, q) }},
		{name: "many", round: func() { enqueueMany(b, q, producers, jobs, 32) }, after: func() { renew(b, q) }},
	})
}

// BenchmarkJetStreamProcess: a worker whose handler does nothing against a raw
// pull consumer, both over a backlog.
func BenchmarkJetStreamProcess(b *testing.B) {
	raw, q := setupJetStream(b)
	c, err := raw.stream.CreateConsumer(b.Context(), jetstream.ConsumerConfig{
		Durable: "raw", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1,
	})
	must(b, err)
	compare(b, backlog, []*contender{{
		name: "raw", target: "(>=0.6)",
		before: func() { raw.publish(backlog) },
		round:  func() { raw.consume(c, backlog) },
		after:  raw.purge,
	}}, processing(b, q, func() { renew(b, q) }))
}

// setupEmbedded opens a server in the process beside one in a container, both
// with their own defaults for how often the disk is made to keep what was written.
func setupEmbedded(b *testing.B) (*batch.Queue[*embedded.Driver], *batch.Queue[*nats.Driver]) {
	b.Helper()
	remote, err := nats.Open(b.Context(), brokers.NATS(b, brokers.NATS2).URL())
	must(b, err)
	far := newQueue(b, remote)
	local, err := embedded.New(b.Context(), b.TempDir(), embedded.Options{})
	must(b, err)
	return newQueue(b, local), far
}

// BenchmarkEmbeddedEnqueue: 64 producers on a server in the process, and on one
// beside it.
func BenchmarkEmbeddedEnqueue(b *testing.B) {
	near, far := setupEmbedded(b)
	compare(b, jobs, []*contender{
		{name: "server", round: func() { enqueue(b, far, jobs) }, after: func() { renew(b, far) }},
	}, []*contender{
		{name: "embedded", round: func() { enqueue(b, near, jobs) }, after: func() { renew(b, near) }},
	})
}

// BenchmarkEmbeddedProcess: a worker whose handler does nothing on a server in
// the process, and on one beside it.
func BenchmarkEmbeddedProcess(b *testing.B) {
	near, far := setupEmbedded(b)
	compare(b, backlog, []*contender{{
		name:   "server",
		before: func() { fill(b, far, backlog) },
		round:  func() { process(b, far, backlog, adapted) },
		after:  func() { renew(b, far) },
	}}, []*contender{{
		name:   "embedded",
		before: func() { fill(b, near, backlog) },
		round:  func() { process(b, near, backlog, adapted) },
		after:  func() { renew(b, near) },
	}})
}
