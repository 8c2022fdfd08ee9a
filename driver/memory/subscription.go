package memory

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
)

// subscription implements driver.Consumer: a consumer that outlives the queue.
// When the queue is deleted the consumer on it is gone for good; if the queue is
// then declared again, the next Receive attaches to the new one.
type subscription struct {
	d       *Driver
	queue   string
	options driver.ConsumeOptions

	mu     sync.Mutex // guards following
	on     *consumer
	closed bool
}

// Consume opens a consumer. Prefetch is not used: nothing is handed out but by
// Receive.
func (d *Driver) Consume(ctx context.Context, queue string, options driver.ConsumeOptions) (driver.Consumer, error) {
	c, err := d.attach(ctx, queue, options)
	if err != nil {
		return nil, err
	}
	return &subscription{d: d, queue: queue, options: options, on: c}, nil
}

func (s *subscription) current() *consumer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.on
}

// attach moves the subscription from a queue that is gone to the one that has
// its name now.
func (s *subscription) attach(ctx context.Context, gone *consumer) (*consumer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.on != gone { // another Receive was first
		return s.on, nil
	}
	if s.closed {
		return nil, refuse("receive", s.queue, driver.ErrClosed, nil, "")
	}
	c, err := s.d.attach(ctx, s.queue, s.options)
	if err != nil {
		return nil, err
	}
	s.on = c
	return c, nil
}

// Lease is the length that the consumer was opened with.
func (s *subscription) Lease() time.Duration { return s.options.Lease }

// Receive takes what is available, or waits until something is.
func (s *subscription) Receive(ctx context.Context, max int) ([]*driver.Delivery, error) {
	c := s.current()
	deliveries, err := c.Receive(ctx, max)
	if !errors.Is(err, driver.ErrNotFound) {
		return deliveries, err
	}
	next, again := s.attach(ctx, c)
	if again != nil {
		return nil, err
	}
	return next.Receive(ctx, max)
}

// Settle ends deliveries, under one lock.
func (s *subscription) Settle(ctx context.Context, settlements []driver.Settlement) []error {
	return s.current().Settle(ctx, settlements)
}

// Extend renews leases, under one lock.
func (s *subscription) Extend(ctx context.Context, deliveries []*driver.Delivery) []error {
	return s.current().Extend(ctx, deliveries)
}

// Close ends the consumer. What it holds stays leased until the leases end.
func (s *subscription) Close(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return s.on.Close(ctx)
}
