package clockstep

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
)

// Step is how far the clock is set ahead, and back after that.
const Step = time.Hour

// Broker is what the scenario runs on.
type Broker struct {
	Driver driver.Driver
	// Lease is that of the consumer; zero where it is the connection.
	Lease time.Duration
	// Before is called when nothing is under way, before each Set. It may be nil.
	Before func(ctx context.Context) error
	// Set sets the clock of the broker to that of the machine and as much as ahead, and returns when the broker goes
	// by it. Delays and leases are under way all the time.
	Set func(ctx context.Context, ahead time.Duration) error
}

// Run has delays and leases under way on a queue of a broker while its clock is set by [Step], and once more while
// it is set back, and returns what became of them in both. An error is one of the broker.
func Run(ctx context.Context, b Broker, queue string) (ahead, back Seen, err error) {
	if err := b.Driver.Declare(ctx, queue); err != nil {
		return ahead, back, err
	}
	consumer, err := b.Driver.Consume(ctx, queue, driver.ConsumeOptions{Lease: b.Lease, Prefetch: 20})
	if err != nil {
		return ahead, back, err
	}
	receiving, cancel := context.WithCancel(ctx)
	w := &worker{broker: b, queue: queue, consumer: consumer, arrived: make(chan arrival, 100), ended: make(chan struct{})}
	go w.receive(receiving)
	defer func() {
		cancel()
		<-w.ended
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		err = errors.Join(err, consumer.Close(closing))
	}()
	if ahead, err = w.phase(ctx, "ahead", Step); err != nil {
		return ahead, back, fmt.Errorf("while it is set ahead: %w", err)
	}
	if back, err = w.phase(ctx, "back", 0); err != nil {
		return ahead, back, fmt.Errorf("while it is set back: %w", err)
	}
	return ahead, back, nil
}

// phase has delays and leases under way while the clock is set.
func (w *worker) phase(ctx context.Context, name string, ahead time.Duration) (Seen, error) {
	p := &phase{worker: w, name: name, jobs: make(map[string]*job)}
	if w.broker.Before != nil {
		if err := w.broker.Before(ctx); err != nil {
			return p.seen(), err
		}
	}
	// The one is extended until the end. Nobody does anything more about the other.
	if err := p.hold(ctx, &p.held, "held"); err != nil {
		return p.seen(), err
	}
	if w.broker.Lease > 0 {
		if err := p.hold(ctx, &p.vanished, "vanished"); err != nil {
			return p.seen(), err
		}
	}
	err := p.follow(ctx, ahead)
	p.settle(ctx, p.held)
	return p.seen(), err
}
