package peers

import (
	"context"
	"errors"
	"sync"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/bench/performance/peer"
)

// rawRabbit is amqp091-go at its best: all callers publish on one channel with confirms, to quorum queues.
type rawRabbit struct {
	conn    *amqp091.Connection
	publish *amqp091.Channel
	url     string
	queues  []string
	remove  func() error
}

// errNotConfirmed is what the broker's nack becomes.
var errNotConfirmed = errors.New("not confirmed")

// declareQuorum makes the queues of a place, and returns what removes them.
func declareQuorum(at peer.Place) (remove func() error, err error) {
	conn, err := amqp091.Dial(at.URL)
	if err != nil {
		return nil, err
	}
	ch, err := conn.Channel()
	if err != nil {
		return nil, err
	}
	for _, q := range at.Queues {
		_, err := ch.QueueDeclare(q, true, false, false, false, amqp091.Table{
			"x-queue-type": "quorum", "x-delivery-limit": int64(-1),
		})
		if err != nil {
			return nil, err
		}
	}
	return func() error {
		for _, q := range at.Queues {
			if _, err := ch.QueueDelete(q, false, false, false); err != nil {
				return err
			}
		}
		return conn.Close()
	}, nil
}

// openRawRabbit makes the queues.
func openRawRabbit(_ context.Context, at peer.Place) (peer.Peer, error) {
	remove, err := declareQuorum(at)
	if err != nil {
		return nil, err
	}
	conn, err := amqp091.Dial(at.URL)
	if err != nil {
		return nil, err
	}
	ch, err := conn.Channel()
	if err == nil {
		err = ch.Confirm(false)
	}
	return &rawRabbit{conn, ch, at.URL, at.Queues, remove}, err
}

// send publishes a job, whose confirmation is to be waited for.
func (p *rawRabbit) send(queue string, j peer.Job) (*amqp091.DeferredConfirmation, error) {
	return p.publish.PublishWithDeferredConfirm("", queue, true, false, amqp091.Publishing{
		DeliveryMode: amqp091.Persistent, Body: j.Encode(),
	})
}

// Enqueue implements peer.Peer.
func (p *rawRabbit) Enqueue(_ context.Context, queue string, j peer.Job) error {
	c, err := p.send(queue, j)
	if err == nil && !c.Wait() {
		err = errNotConfirmed
	}
	return err
}

// EnqueueMany implements peer.Peer.
func (p *rawRabbit) EnqueueMany(_ context.Context, queue string, jobs []peer.Job) error {
	all := make([]*amqp091.DeferredConfirmation, len(jobs))
	for i, j := range jobs {
		c, err := p.send(queue, j)
		if err != nil {
			return err
		}
		all[i] = c
	}
	for _, c := range all {
		if !c.Wait() {
			return errNotConfirmed
		}
	}
	return nil
}

// Work implements peer.Peer: a channel a queue, with a prefetch that keeps all handlers busy, on a connection of
// its own, as RabbitMQ advises.
func (p *rawRabbit) Work(_ context.Context, concurrency int, handle peer.Handler) (func() error, error) {
	conn, err := amqp091.Dial(p.url)
	if err != nil {
		return nil, err
	}
	var channels []*amqp091.Channel
	var all sync.WaitGroup
	for _, q := range p.queues {
		ch, err := conn.Channel()
		if err == nil {
			err = ch.Qos(max(256, 4*concurrency), 0, false)
		}
		if err != nil {
			return nil, err
		}
		deliveries, err := ch.Consume(q, "", false, false, false, false, nil)
		if err != nil {
			return nil, err
		}
		channels = append(channels, ch)
		for range concurrency {
			all.Go(func() {
				for d := range deliveries {
					settle(d, handle)
				}
			})
		}
	}
	return func() error {
		for _, ch := range channels {
			if err := ch.Close(); err != nil {
				return err
			}
		}
		all.Wait()
		return conn.Close()
	}, nil
}

// settle handles a delivery. One that fails is redelivered. What cannot be settled comes again.
func settle(d amqp091.Delivery, handle peer.Handler) {
	j, err := peer.Decode(d.Body)
	if err == nil {
		err = handle(j)
	}
	if err != nil {
		_ = d.Nack(false, true)
	} else {
		_ = d.Ack(false)
	}
}

// Close implements peer.Peer.
func (p *rawRabbit) Close() error { return errors.Join(p.conn.Close(), p.remove()) }
