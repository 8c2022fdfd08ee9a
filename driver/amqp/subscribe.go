package amqp

import (
	"context"
	"fmt"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
)

// unacked is how long the broker lets a delivery be held, in ms: 40 days, more
// than any job runs. By default it takes a job back after 30 minutes, and nothing
// that a consumer can do extends that. The argument of a consumer is above all
// other settings: https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout
const unacked = int64(40 * 24 * 3600 * 1000)

// subscription is one basic.consume.
type subscription struct {
	tag string
	// drained is closed when no more deliveries come.
	drained chan struct{}
}

// subscribe consumes from a queue with manual acknowledgement. Prefetch 0 is no
// limit.
func subscribe(ch *amqp091.Channel, queue, tag string, prefetch int, timeouts bool) (<-chan amqp091.Delivery, error) {
	if err := ch.Qos(prefetch, 0, false); err != nil {
		return nil, err
	}
	var args amqp091.Table
	if timeouts {
		args = amqp091.Table{"x-consumer-timeout": unacked}
	}
	return ch.Consume(queue, tag, false, false, false, false, args)
}

// receiving counts Receive calls that are under way.
func (s *session) receiving(n int) {
	s.mu.Lock()
	s.receivers += n
	s.mu.Unlock()
}

// subscribe makes sure of a subscription.
func (s *session) subscribe(ctx context.Context) error {
	s.mu.Lock()
	done := s.current != nil || s.over
	s.mu.Unlock()
	if done {
		return nil
	}
	return s.c.h.await(ctx, func() error {
		s.subscribing <- struct{}{}
		defer func() { <-s.subscribing }()
		s.mu.Lock()
		done := s.current != nil
		s.mu.Unlock()
		if done {
			return nil
		}
		return lostCall(s.link, s.begin())
	})
}

// begin subscribes.
func (s *session) begin() error {
	s.mu.Lock()
	s.serial++
	sub := &subscription{tag: fmt.Sprintf("batch-%d", s.serial), drained: make(chan struct{})}
	s.mu.Unlock()
	s.asking.Lock()
	deliveries, err := subscribe(s.ch, s.c.n.main, sub.tag, s.c.prefetch, s.c.h.timeouts)
	s.asking.Unlock()
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.current = sub
	s.mu.Unlock()
	s.tasks.Go(func() {
		for d := range deliveries {
			s.admit(&d)
		}
		close(sub.drained)
	})
	return nil
}

// cancel ends a subscription that is not current any more, and returns when all
// that it brought is waiting.
func (s *session) cancel(sub *subscription) error {
	s.asking.Lock()
	err := s.ch.Cancel(sub.tag, false)
	s.asking.Unlock()
	if err != nil {
		return err
	}
	<-sub.drained
	return nil
}

// unsubscribe ends the subscription if nobody receives, and gives back what came
// meanwhile: it goes before a release, which a worker that is about to end makes
// while its last jobs run. RabbitMQ would push what is released back to who
// released it, where it would wait in vain.
func (s *session) unsubscribe() {
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		return
	}
	s.tasks.Add(1)
	s.mu.Unlock()
	defer s.tasks.Done()
	s.subscribing <- struct{}{}
	defer func() { <-s.subscribing }()
	s.mu.Lock()
	var sub *subscription
	if s.receivers == 0 {
		// From here on a Receive sees none, and waits for its turn to begin one.
		sub, s.current = s.current, nil
	}
	s.mu.Unlock()
	if sub != nil && s.cancel(sub) == nil {
		s.giveBack()
	}
}

// giveBack returns what came and was not received, so that it does not count as
// handed out: as of 4.3 by basic.nack, which keeps its place. Where a new message
// has to take its place, it goes to the end of its level.
func (s *session) giveBack() {
	s.mu.Lock()
	var back []*driver.Delivery
	for i := range s.waiting {
		for _, d := range s.waiting[i] {
			d.Receipt.(*receipt).state = settling
			back = append(back, d)
		}
		s.waiting[i] = nil
	}
	s.queued = 0
	s.mu.Unlock()
	if len(back) == 0 {
		return
	}
	var acks, nacks []*receipt
	if !s.c.h.counted {
		for _, d := range back {
			nacks = append(nacks, d.Receipt.(*receipt))
		}
	} else {
		items := make([]*publication, len(back))
		for i, d := range back {
			h := history{failures: d.Failures, lastError: d.LastError, deliveries: d.Deliveries - 1, losses: d.Redeliveries}
			items[i] = &publication{queue: s.c.n.main, message: encode(&d.Message, &h)}
		}
		ctx, cancel := context.WithTimeout(context.Background(), closeTime)
		defer cancel()
		s.c.h.publish(ctx, items)
		for i, d := range back {
			if items[i].err == nil {
				acks = append(acks, d.Receipt.(*receipt))
			} else {
				nacks = append(nacks, d.Receipt.(*receipt))
			}
		}
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	nack := func(tag uint64, requeue bool) error { return s.ch.Nack(tag, false, requeue) }
	_ = s.write(acks, nacks, nack) // if it fails, the channel is at its end
}

// retire ends the session of a consumer that is being closed.
func (s *session) retire() {
	s.subscribing <- struct{}{}
	s.mu.Lock()
	sub := s.current
	s.current = nil
	s.mu.Unlock()
	if sub != nil {
		_ = s.cancel(sub) // it fails if the channel is at its end
	}
	s.giveBack()
	<-s.subscribing
	s.stop()
}
