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
	// Far has one more job delayed, from before the first step to after the last, for a time that is shorter than a
	// step: it must not come, and must not keep others from coming in time.
	Far bool
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
	if b.Far {
		if err := w.named("far", Effect{}).enqueue(ctx, "job", Step/2); err != nil {
			return 0, err
		}
	}
	if _, err := w.phase(ctx, "ahead", Step, b.Ahead); err != nil {
		return 0, fmt.Errorf("set ahead: %w", err)
	}
	seen, err := w.phase(ctx, "back", 0, b.Back)
	if err != nil {
		return 0, fmt.Errorf("set back: %w", err)
	}
	if b.Far {
		if err := w.aside(ctx); err != nil {
			return 0, err
		}
	}
	return len(seen.Late), nil
}

// closeTime bounds the end of the consumer.
const closeTime = 10 * time.Second

// aside sets the clock ahead while nothing but the far job is delayed. A job that is delayed afterwards must come
// before that.
func (w *worker) aside(ctx context.Context) error {
	select {
	case <-time.After(longest): // then the broker waits for that job alone
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := w.broker.Set(ctx, Step); err != nil {
		return err
	}
	p := w.named("aside", Effect{})
	if err := p.enqueue(ctx, "job", longest/2); err != nil {
		return err
	}
	select {
	case got := <-w.arrived:
		if got.err != nil {
			return got.err
		}
		p.note(got)
		p.settle(ctx, got.delivery)
	case <-time.After(longest + patience):
	}
	if seen := p.seen(); w.far > 0 || len(seen.Early)+len(seen.Late) > 0 {
		return fmt.Errorf("set ahead again, with a job delayed by %s that came %d times: %s", Step/2, w.far, seen)
	}
	return nil
}

// phase has delays and leases under way while the clock is set.
func (w *worker) phase(ctx context.Context, name string, ahead time.Duration, effect Effect) (Seen, error) {
	p := w.named(name, effect)
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
