package amqp

import (
	"context"
	"fmt"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
)

// unacked is how long the broker lets a delivery be held, in ms: 40 days, more
// than any job runs. By default it takes a job back after 30 minutes, and nothing
// that a consumer can do extends that. The argument of a consumer is above all
// other settings: https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout
const unacked = int64(40 * 24 * 3600 * 1000)

// A subscription is kept for a moment when nobody receives. RabbitMQ pushes jobs to
// whoever subscribed, wanted or not, and those of a worker that has stopped to
// receive, since it is busy or about to end, are missing elsewhere. To subscribe
// again takes a round trip and an entry in the queue's log.
const (
	// shortLinger is for when something may come at any time. A worker that has
	// room calls Receive again at once.
	shortLinger = 50 * time.Millisecond
	// longLinger is for when all that may come is there, and the worker busy with
	// it: it calls again when it has settled some.
	longLinger = 250 * time.Millisecond
)

// subscription is one basic.consume.
type subscription struct {
	tag string
	// window is how many deliveries it may have unsettled.
	window int
	// open is how many it has. The session's mu guards it.
	open int
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

// arrive counts a Receive as under way.
func (s *session) arrive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.receivers++
	if s.rest != nil {
		s.rest.Stop()
	}
}

// depart counts it out.
func (s *session) depart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.receivers--
	s.lull()
}

// lull sets the timer of unsubscribe while nobody receives. s.mu must be held.
func (s *session) lull() {
	if s.receivers > 0 || s.over || s.current == nil {
		return
	}
	d := longLinger
	if s.queued == 0 && s.current.open < s.current.window {
		d = shortLinger
	}
	if s.rest == nil {
		s.rest = time.AfterFunc(d, s.unsubscribe)
	} else {
		s.rest.Reset(d)
	}
}

// fits tells whether the session has a subscription that is wide enough: one that
// began while much was held by those before is narrow, and is replaced when that
// is settled. s.mu must be held.
func (s *session) fits() bool {
	sub := s.current
	return sub != nil && (2*sub.window >= s.c.prefetch || s.open > sub.open)
}

// subscribe makes sure of a subscription.
func (s *session) subscribe(ctx context.Context) error {
	s.mu.Lock()
	fits := s.fits() || s.over
	s.mu.Unlock()
	if fits {
		return nil
	}
	return s.c.h.await(ctx, func() error {
		s.subscribing <- struct{}{}
		defer func() { <-s.subscribing }()
		s.mu.Lock()
		fits := s.fits()
		old := s.current
		if !fits {
			s.current = nil
		}
		s.mu.Unlock()
		if fits {
			return nil
		}
		if old != nil {
			if err := s.cancel(old); err != nil {
				return lostCall(s.link, err)
			}
		}
		return lostCall(s.link, s.begin())
	})
}

// begin subscribes. Together with what the consumer holds, no more than its
// prefetch comes.
func (s *session) begin() error {
	s.mu.Lock()
	s.serial++
	sub := &subscription{tag: fmt.Sprintf("batch-%d", s.serial), window: max(s.c.prefetch-s.open, 1), drained: make(chan struct{})}
	s.mu.Unlock()
	s.asking.Lock()
	deliveries, err := subscribe(s.ch, s.c.n.main, sub.tag, sub.window, s.c.h.timeouts)
	s.asking.Unlock()
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.current = sub
	s.mu.Unlock()
	s.tasks.Go(func() {
		for d := range deliveries {
			s.admit(sub, &d)
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
// meanwhile.
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
