package peers

import (
	"context"
	"errors"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/batch-go/batch/bench/performance/peer"
)

// rawNATS is nats.go at its best: PublishAsync, and a pull consumer.
type rawNATS struct {
	conn   *natsgo.Conn
	js     jetstream.JetStream
	queues []string
	remove func() error
}

// makeStreams makes a work queue on files for each queue, and returns what removes them.
func makeStreams(ctx context.Context, at peer.Place) (remove func() error, err error) {
	conn, err := natsgo.Connect(at.URL)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	for _, q := range at.Queues {
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{
			Name: q, Subjects: []string{q}, Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage,
		})
		if err != nil {
			return nil, err
		}
	}
	return func() error {
		defer conn.Close()
		for _, q := range at.Queues {
			if err := js.DeleteStream(context.Background(), q); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// openRawNATS makes the streams.
func openRawNATS(ctx context.Context, at peer.Place) (peer.Peer, error) {
	remove, err := makeStreams(ctx, at)
	if err != nil {
		return nil, err
	}
	conn, err := natsgo.Connect(at.URL)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(4000))
	return &rawNATS{conn, js, at.Queues, remove}, err
}

// await waits for the confirmation of a message.
func await(f jetstream.PubAckFuture) error {
	select {
	case <-f.Ok():
		return nil
	case err := <-f.Err():
		return err
	}
}

// Enqueue implements peer.Peer.
func (p *rawNATS) Enqueue(_ context.Context, queue string, j peer.Job) error {
	f, err := p.js.PublishAsync(queue, j.Encode())
	if err != nil {
		return err
	}
	return await(f)
}

// EnqueueMany implements peer.Peer.
func (p *rawNATS) EnqueueMany(_ context.Context, queue string, jobs []peer.Job) error {
	all := make([]jetstream.PubAckFuture, len(jobs))
	for i, j := range jobs {
		f, err := p.js.PublishAsync(queue, j.Encode(), jetstream.WithStallWait(time.Minute))
		if err != nil {
			return err
		}
		all[i] = f
	}
	for _, f := range all {
		if err := await(f); err != nil {
			return err
		}
	}
	return nil
}

// Work implements peer.Peer.
func (p *rawNATS) Work(ctx context.Context, concurrency int, handle peer.Handler) (func() error, error) {
	var stops []func()
	var all sync.WaitGroup
	for _, q := range p.queues {
		c, err := p.js.CreateOrUpdateConsumer(ctx, q, jetstream.ConsumerConfig{
			Durable: "c", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1,
		})
		if err != nil {
			return nil, err
		}
		messages := make(chan jetstream.Msg, 64)
		over := make(chan struct{})
		consuming, err := c.Consume(func(m jetstream.Msg) {
			select {
			case messages <- m:
			case <-over:
			}
		}, jetstream.PullMaxMessages(500))
		if err != nil {
			return nil, err
		}
		stops = append(stops, func() { consuming.Stop(); close(over) })
		for range concurrency {
			all.Go(func() { settleNATS(messages, over, handle) })
		}
	}
	return func() error {
		for _, stop := range stops {
			stop()
		}
		all.Wait()
		return p.conn.Flush()
	}, nil
}

// settleNATS handles messages until it is over. One that fails is redelivered.
func settleNATS(messages <-chan jetstream.Msg, over <-chan struct{}, handle peer.Handler) {
	for {
		select {
		case <-over:
			return
		case m := <-messages:
			j, err := peer.Decode(m.Data())
			if err == nil {
				err = handle(j)
			}
			if err != nil {
				_ = m.Nak() // what cannot be settled comes again
			} else {
				_ = m.Ack()
			}
		}
	}
}

// Close implements peer.Peer.
func (p *rawNATS) Close() error {
	p.conn.Close()
	return errors.Join(p.remove())
}
