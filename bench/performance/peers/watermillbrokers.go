package peers

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	wmnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/bench/performance/peer"
)

// watermillRedis is watermill on streams. A subscription hands out one message at a time.
func watermillRedis(_ context.Context, at peer.Place) (peer.Peer, error) {
	log := watermill.NopLogger{}
	publisher, err := redisstream.NewPublisher(redisstream.PublisherConfig{Client: redisClient(at)}, log)
	if err != nil {
		return nil, err
	}
	return &watermillPeer{
		publisher: publisher, queues: at.Queues, single: true,
		subscribe: func(n int) (message.Subscriber, error) {
			wide := at
			wide.Queues = make([]string, n*len(at.Queues)+8) // a connection for each
			return redisstream.NewSubscriber(redisstream.SubscriberConfig{
				Client: redisClient(wide), ConsumerGroup: group, OldestId: "0", DisableIndefiniteInitialBlock: true,
				NackResendSleep: redisstream.NoSleep,
			}, log)
		},
	}, nil
}

// quorumMarshaler reads what a quorum queue redelivers: the broker adds a header that is a number, which
// watermill's own marshaler refuses, so that the message is put back for ever.
type quorumMarshaler struct{ amqp.DefaultMarshaler }

// Unmarshal implements amqp.Marshaler.
func (m quorumMarshaler) Unmarshal(d amqp091.Delivery) (*message.Message, error) {
	for name, value := range d.Headers {
		if _, ok := value.(string); !ok {
			delete(d.Headers, name)
		}
	}
	return m.DefaultMarshaler.Unmarshal(d)
}

// watermillAMQP is watermill on quorum queues, with confirms, which it has off by default, and a pool of
// channels.
func watermillAMQP(_ context.Context, at peer.Place) (peer.Peer, error) {
	log := watermill.NopLogger{}
	config := amqp.NewDurableQueueConfig(at.URL)
	config.Marshaler = quorumMarshaler{}
	config.Publish.ConfirmDelivery = true
	config.Publish.ChannelPoolSize = 64
	config.Queue.Arguments = amqp091.Table{"x-queue-type": "quorum", "x-delivery-limit": int64(-1)}
	publisher, err := amqp.NewPublisher(config, log)
	if err != nil {
		return nil, err
	}
	remove, err := declareQuorum(at)
	if err != nil {
		return nil, err
	}
	return &watermillPeer{
		publisher: publisher, queues: at.Queues, single: true, close: remove,
		subscribe: func(int) (message.Subscriber, error) {
			reading := config
			reading.Consume.Qos.PrefetchCount = 16
			return amqp.NewSubscriber(reading, log)
		},
	}, nil
}

// watermillNATS is watermill on JetStream, by the package that its documentation recommends for production.
func watermillNATS(ctx context.Context, at peer.Place) (peer.Peer, error) {
	remove, err := makeStreams(ctx, at)
	if err != nil {
		return nil, err
	}
	log := watermill.NopLogger{}
	stream := wmnats.JetStreamConfig{
		DurablePrefix: "d", DurableCalculator: func(prefix, topic string) string { return prefix + "-" + topic }, AckAsync: true,
	}
	publisher, err := wmnats.NewPublisher(wmnats.PublisherConfig{URL: at.URL, JetStream: stream}, log)
	if err != nil {
		return nil, err
	}
	return &watermillPeer{
		publisher: publisher, queues: at.Queues, close: remove,
		subscribe: func(n int) (message.Subscriber, error) {
			return wmnats.NewSubscriber(wmnats.SubscriberConfig{
				URL: at.URL, JetStream: stream, SubscribersCount: n, QueueGroupPrefix: "d", AckWaitTimeout: 30 * time.Second,
				CloseTimeout: 5 * time.Second,
			}, log)
		},
	}, nil
}
