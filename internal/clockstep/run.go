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
	// Ahead and Back are what happens when the clock is set ahead and back.
	Ahead, Back Effect
}

// Run has delays and leases under way on a queue of a broker while its clock is set by [Step], and once more while
// it is set back. An error says what had another effect than it should have. It returns how many jobs are still delayed
// then, because they are late by the step.
func Run(ctx context.Context, b Broker, queue string) (late int, err error) {
	if err := b.Driver.Declare(ctx, queue); err != nil {
		return 0, err
	}
	consumer, err := b.Driver.Consume(ctx, queue, driver.ConsumeOptions{Lease: b.Lease, Prefetch: 20})
	if err != nil {
		return 0, err
	}
	receiving, cancel := context.WithCancel(ctx)
	w := &worker{broker: b, queue: queue, consumer: consumer, arrived: make(chan arrival, 100), ended: make(chan struct{})}
	go w.receive(receiving)
	defer func() {
		cancel()
		<-w.ended
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		err = errors.Join(err, consumer.Close(closing))
	}()
	if _, err := w.phase(ctx, "ahead", Step, b.Ahead); err != nil {
		return 0, fmt.Errorf("set ahead: %w", err)
	}
	seen, err := w.phase(ctx, "back", 0, b.Back)
	if err != nil {
		return 0, fmt.Errorf("set back: %w", err)
	}
	return len(seen.Late), nil
}

// closeTime bounds the end of the consumer.
const closeTime = 10 * time.Second

// phase has delays and leases under way while the clock is set.
func (w *worker) phase(ctx context.Context, name string, ahead time.Duration, effect Effect) (Seen, error) {
	p := &phase{worker: w, name: name, effect: effect, jobs: make(map[string]*job)}
	if w.broker.Before != nil {
		if err := w.broker.Before(ctx); err != nil {
			return Seen{}, err
		}
	}
	// The one is extended until the end. Nobody does anything more about the other.
	if err := p.hold(ctx, &p.held, "held"); err != nil {
		return Seen{}, err
	}
	if w.broker.Lease > 0 {
		if err := p.hold(ctx, &p.vanished, "vanished"); err != nil {
			return Seen{}, err
		}
	}
	if err := p.follow(ctx, ahead); err != nil {
		return Seen{}, err
	}
	p.settle(ctx, p.held)
	seen := p.seen()
	return seen, seen.Check(effect)
}
