package peers

import (
	"context"
	"errors"
	"sync"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/batch-go/batch/bench/performance/peer"
)

// watermillPeer is watermill on any broker.
type watermillPeer struct {
	publisher message.Publisher
	queues    []string
	// subscribe makes a subscriber for n handlers of each queue.
	subscribe func(n int) (message.Subscriber, error)
	// single tells that a subscription hands out one message at a time, so that n handlers need n of them.
	single bool
	close  func() error
}

// newMessage is what is published for a job.
func newMessage(j peer.Job) *message.Message {
	return message.NewMessage(watermill.NewUUID(), j.Encode())
}

// Enqueue implements peer.Peer.
func (p *watermillPeer) Enqueue(_ context.Context, queue string, j peer.Job) error {
	return p.publisher.Publish(queue, newMessage(j))
}

// EnqueueMany implements peer.Peer. Publish takes many messages, and sends them one after another; from many
// goroutines it is faster.
func (p *watermillPeer) EnqueueMany(_ context.Context, queue string, jobs []peer.Job) error {
	return peer.Each(jobs, func(j peer.Job) error { return p.publisher.Publish(queue, newMessage(j)) })
}

// Work implements peer.Peer.
func (p *watermillPeer) Work(ctx context.Context, concurrency int, handle peer.Handler) (func() error, error) {
	s, err := p.subscribe(concurrency)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	stop := func() error {
		err := s.Close()
		cancel()
		all.Wait()
		return err
	}
	for _, q := range p.queues {
		var messages <-chan *message.Message
		for i := range concurrency {
			if i == 0 || p.single {
				if messages, err = s.Subscribe(ctx, q); err != nil {
					return nil, errors.Join(err, stop())
				}
			}
			from := messages
			all.Go(func() { receive(from, handle) })
		}
	}
	return stop, nil
}

// receive handles messages until their channel is closed.
func receive(messages <-chan *message.Message, handle peer.Handler) {
	for m := range messages {
		j, err := peer.Decode(m.Payload)
		if err == nil {
			err = handle(j)
		}
		if err != nil {
			m.Nack()
		} else {
			m.Ack()
		}
	}
}

// Close implements peer.Peer.
func (p *watermillPeer) Close() error {
	err := p.publisher.Close()
	if p.close != nil {
		err = errors.Join(err, p.close())
	}
	return err
}
