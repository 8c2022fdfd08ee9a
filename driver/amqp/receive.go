package amqp

import (
	"context"
	"errors"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
)

// Receive takes deliveries that the broker has pushed, or waits for some. It
// returns those of the highest levels first.
func (c *consumer) Receive(ctx context.Context, max int) ([]*driver.Delivery, error) {
	const op = "receive"
	if err := faults.CheckReceive(c.names.queue, max, batchSize); err != nil {
		return nil, err
	}
	if err := begin(ctx, &c.receives); err != nil {
		return nil, fail(op, c.names.queue, err)
	}
	defer c.receives.Exit()
	for {
		s, err := c.open(ctx)
		if err == nil {
			var got []*driver.Delivery
			if got, err = c.take(ctx, s, max); len(got) > 0 {
				return got, nil
			}
		}
		if c.life.Err() != nil {
			return nil, closed(op, c.names.queue)
		}
		if err == errCancelled {
			// The queue was deleted, or the broker has another reason: consuming
			// again tells which.
			continue
		}
		return nil, fail(op, c.names.queue, err)
	}
}

// take returns up to max deliveries, or waits for some. A mover that ends in the
// meantime is an error: the next call makes another.
func (c *consumer) take(ctx context.Context, s *session, max int) ([]*driver.Delivery, error) {
	c.mu.Lock()
	m := c.mover
	c.mu.Unlock()
	s.receiving(1)
	defer s.receiving(-1)
	for {
		if err := s.takeTrouble(); err != nil {
			return nil, err
		}
		if got := s.pop(max); got != nil {
			return got, nil
		}
		if err := s.subscribe(ctx); err != nil {
			if errors.Is(err, amqp091.ErrClosed) && s.conn.alive() {
				return nil, errCancelled // the channel ended before: by another call, or as the queue was deleted
			}
			return nil, err
		}
		select {
		case <-s.arrived:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-c.life.Done():
			return nil, driver.ErrClosed
		case <-s.ended:
			err := s.endedFor()
			if isGone(err) && s.conn.alive() {
				return nil, errCancelled // another call was told that the queue is gone
			}
			return nil, err
		case <-m.ended:
			return nil, m.err
		}
	}
}
