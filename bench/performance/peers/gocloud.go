package peers

import (
	"context"
	"errors"
	"sync"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
	"gocloud.dev/pubsub"
	"gocloud.dev/pubsub/awssnssqs"
	"gocloud.dev/pubsub/rabbitpubsub"

	"github.com/batch-go/batch/bench/performance/peer"
)

// gocloud is gocloud.dev/pubsub on any broker.
type gocloud struct {
	topics    map[string]*pubsub.Topic
	queues    []string
	subscribe func(queue string) *pubsub.Subscription
	prepare   func(*pubsub.Message)
	close     func() error
}

// Enqueue implements peer.Peer. Concurrent calls share batches.
func (p *gocloud) Enqueue(ctx context.Context, queue string, j peer.Job) error {
	m := &pubsub.Message{Body: j.Encode()}
	if p.prepare != nil {
		p.prepare(m)
	}
	return p.topics[queue].Send(ctx, m)
}

// EnqueueMany implements peer.Peer. It has nothing but the batches of concurrent calls.
func (p *gocloud) EnqueueMany(ctx context.Context, queue string, jobs []peer.Job) error {
	return peer.Each(jobs, func(j peer.Job) error { return p.Enqueue(ctx, queue, j) })
}

// Work implements peer.Peer.
func (p *gocloud) Work(ctx context.Context, concurrency int, handle peer.Handler) (func() error, error) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	var open []*pubsub.Subscription
	for _, q := range p.queues {
		s := p.subscribe(q)
		open = append(open, s)
		for range concurrency {
			all.Go(func() {
				for {
					m, err := s.Receive(ctx)
					if err != nil {
						return // it has ended
					}
					settleCloud(m, handle)
				}
			})
		}
	}
	return func() error {
		cancel()
		all.Wait()
		var failed error
		for _, s := range open {
			failed = errors.Join(failed, s.Shutdown(context.Background()))
		}
		return failed
	}, nil
}

// settleCloud handles a message.
func settleCloud(m *pubsub.Message, handle peer.Handler) {
	j, err := peer.Decode(m.Body)
	if err == nil {
		err = handle(j)
	}
	switch {
	case err == nil:
		m.Ack()
	case m.Nackable():
		m.Nack()
	}
}

// Close implements peer.Peer.
func (p *gocloud) Close() error {
	var failed error
	for _, t := range p.topics {
		failed = errors.Join(failed, t.Shutdown(context.Background()))
	}
	return errors.Join(failed, p.close())
}

// gocloudRabbit is go-cloud on quorum queues: it needs an exchange for each.
func gocloudRabbit(_ context.Context, at peer.Place) (peer.Peer, error) {
	remove, err := declareQuorum(at)
	if err != nil {
		return nil, err
	}
	conn, err := amqp091.Dial(at.URL)
	if err != nil {
		return nil, err
	}
	reading, err := amqp091.Dial(at.URL)
	if err != nil {
		return nil, err
	}
	ch, err := conn.Channel()
	if err != nil {
		return nil, err
	}
	topics := make(map[string]*pubsub.Topic)
	for _, q := range at.Queues {
		if err := ch.ExchangeDeclare(q, "fanout", true, false, false, false, nil); err != nil {
			return nil, err
		}
		if err := ch.QueueBind(q, "", q, false, nil); err != nil {
			return nil, err
		}
		topics[q] = rabbitpubsub.OpenTopic(conn, q, nil)
	}
	return &gocloud{
		topics: topics, queues: at.Queues,
		subscribe: func(q string) *pubsub.Subscription { return rabbitpubsub.OpenSubscription(reading, q, nil) },
		prepare: func(m *pubsub.Message) {
			m.BeforeSend = func(as func(any) bool) error {
				var p *amqp091.Publishing
				if !as(&p) {
					return errors.New("no publishing")
				}
				p.DeliveryMode = amqp091.Persistent
				return nil
			}
		},
		close: func() error {
			for _, q := range at.Queues {
				if err := ch.ExchangeDelete(q, false, false); err != nil {
					return err
				}
			}
			return errors.Join(conn.Close(), reading.Close(), remove())
		},
	}, nil
}

// gocloudSQS is go-cloud on SQS.
func gocloudSQS(ctx context.Context, at peer.Place) (peer.Peer, error) {
	client := sqsClient(at)
	urls, err := makeQueues(ctx, client, at)
	if err != nil {
		return nil, err
	}
	topics := make(map[string]*pubsub.Topic)
	for q, url := range urls {
		topics[q] = awssnssqs.OpenSQSTopic(ctx, client, url, nil)
	}
	return &gocloud{
		topics: topics, queues: at.Queues,
		subscribe: func(q string) *pubsub.Subscription {
			return awssnssqs.OpenSubscription(ctx, client, urls[q], &awssnssqs.SubscriptionOptions{Raw: true, WaitTime: time.Second})
		},
		close: func() error { return removeQueues(client, urls) },
	}, nil
}
