package amqp

import (
	"context"
	"errors"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
)

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
	ctx, cancel := s.within(ctx)
	defer cancel()
	return s.base.await(ctx, func() error {
		s.subscribing <- struct{}{}
		defer func() { <-s.subscribing }()
		s.mu.Lock()
		done := s.current != nil
		s.mu.Unlock()
		if done || s.life.Err() != nil {
			return nil
		}
		return s.conn.explain(s.begin())
	})
}

// begin begins a subscription.
func (s *session) begin() error {
	sub := &subscription{tag: s.conn.tap.subscribe(s.accept)}
	s.mu.Lock()
	s.crowding = 0
	s.mu.Unlock()
	err := s.ask(func() error {
		// Nothing comes by the library: see tap.
		_, err := consumeFrom(s.ch, s.names.main, sub.tag, s.prefetch, s.base.hasTimeout)
		return err
	})
	if err != nil {
		s.conn.tap.unsubscribe(sub.tag)
		if err == s.endedFor() {
			return nil // Receive sees that
		}
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		s.conn.tap.unsubscribe(sub.tag)
	}
	s.current = sub
	return nil
}

// accept makes a delivery of what came. It is called as that is read, one at a time.
func (s *session) accept(d *amqp091.Delivery) {
	j := decode(d)
	r := &receipt{session: s, tag: d.DeliveryTag, deliveries: j.deliveries}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.held.push(r)
	if j.bad != "" {
		r.state = receiptSettling
		letter := s.deadLetter(d, j.bad)
		s.replacements.Go(func() { s.bury(r, letter) })
		return
	}
	delivery := &driver.Delivery{
		Message: j.Message, Failures: j.failures, LastError: j.lastError, Bounces: j.bounces, BouncedSince: j.bouncedSince,
		Deliveries: j.deliveries, Redeliveries: j.redeliveries, Receipt: r,
	}
	if d.Redelivered && s.base.replacesReturned {
		r.state = receiptSettling
		s.replacements.Go(func() { s.replace(r, delivery) })
		return
	}
	s.offer(delivery)
}

// offer makes a delivery available to Receive. s.mu must be held.
func (s *session) offer(d *driver.Delivery) {
	s.unread.push(d)
	s.signal()
}

// deadLetter is the dead letter of a message that is no job, if it has a body to
// keep.
func (s *session) deadLetter(d *amqp091.Delivery, why string) *publication {
	if len(d.Body) == 0 {
		return nil
	}
	p := &publication{queue: s.names.dead, message: unreadable(d, why)}
	fit(&p.message, s.base.room)
	return p
}

// anew is a job that is stored anew as it is, but for its history.
func (s *source) anew(m *driver.Message, h history) *publication {
	p := &publication{queue: s.names.main, message: encode(m, h)}
	fit(&p.message, s.base.room)
	return p
}

// replace publishes a job that came back anew, which is handed out in its turn and
// tells of the holder that was lost, and then acknowledges what came. If the broker
// does not take it, the job is handed out as it is, out of turn: better than to hold
// it, or to have it come back at once to fail again.
func (s *session) replace(r *receipt, d *driver.Delivery) {
	if !s.base.isBlocked() {
		ctx, cancel := context.WithTimeout(s.replacing, patience)
		defer cancel()
		by := s.anew(&d.Message, historyOf(d, d.Deliveries-1))
		if s.base.publish(ctx, []*publication{by}); by.err == nil {
			_ = s.hand([]*receipt{r}, nil) // if it fails, the session is at its end
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		r.state = receiptHeld
		s.offer(d)
	}
}

// unsubscribe ends the subscription if no Receive is under way, and gives back
// what came meanwhile: it goes before a release, which a worker that is about to
// end makes while its last jobs run. RabbitMQ would push what is released back to
// the same consumer, where it would wait in vain.
func (s *session) unsubscribe() {
	if !s.tasks.Enter() {
		return
	}
	defer s.tasks.Exit()
	s.subscribing <- struct{}{}
	defer func() { <-s.subscribing }()
	s.mu.Lock()
	var sub *subscription
	if s.receivers == 0 {
		// From here on a Receive sees none, and waits for its turn to begin one.
		sub, s.current = s.current, nil
	}
	s.mu.Unlock()
	if sub != nil && s.cancelSubscription(sub) == nil {
		s.giveBack(context.Background())
	}
}

// withdraw ends the subscription when the consumer has stopped receiving, gives
// back what no Receive returned, and waits until the broker has it.
func (s *session) withdraw(ctx context.Context) error {
	defer context.AfterFunc(ctx, s.cancel)()
	s.subscribing <- struct{}{}
	defer func() { <-s.subscribing }()
	if !s.alive() {
		return nil // it holds nothing
	}
	s.mu.Lock()
	sub := s.current
	s.current = nil
	s.mu.Unlock()
	if sub != nil {
		if err := s.cancelSubscription(sub); err != nil && !errors.Is(err, errCancelled) {
			return s.conn.explain(err)
		}
	}
	s.replacements.Wait()
	s.giveBack(ctx)
	err := s.barrier()
	if isGone(err) || errors.Is(err, errCancelled) {
		return nil // the queue, and all that it held
	}
	return s.conn.explain(err)
}

// giveBack returns what came and was not received, so that it does not count as
// lost: as of 4.3 by basic.nack, which keeps its place, and counts it as handed out. Where
// a new message has to take its place, it goes to the end of its level; if the broker
// takes none, it is returned as well, and counts as lost.
func (s *session) giveBack(ctx context.Context) {
	s.mu.Lock()
	back := s.unread.pop(s.unread.size)
	receipts := make([]*receipt, len(back))
	for i, d := range back {
		receipts[i] = d.Receipt.(*receipt)
		receipts[i].state = receiptSettling
	}
	stuck := s.stuck
	s.stuck = nil
	s.mu.Unlock()
	acks, nacks := []*receipt(nil), receipts
	if s.base.replacesGivenBack && len(back) > 0 && !s.base.isBlocked() {
		acks, nacks = s.republish(ctx, back, receipts)
	}
	for _, e := range stuck {
		nacks = append(nacks, e.receipt)
	}
	_ = s.hand(acks, nacks) // if it fails, the channel is at its end
}

// republish publishes deliveries anew, as if they had not been handed out. It
// returns the receipts of those that were stored, and of the others.
func (s *session) republish(ctx context.Context, back []*driver.Delivery, receipts []*receipt) (stored, others []*receipt) {
	items := make([]*publication, len(back))
	for i, d := range back {
		items[i] = s.anew(&d.Message, historyOf(d, d.Deliveries-1))
	}
	ctx, cancel := context.WithTimeout(ctx, closeTime)
	defer cancel()
	s.base.publish(ctx, items)
	for i, item := range items {
		if item.err == nil {
			stored = append(stored, receipts[i])
		} else {
			others = append(others, receipts[i])
		}
	}
	return stored, others
}
