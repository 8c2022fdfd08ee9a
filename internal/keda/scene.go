package keda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/health"
)

// Message is a job for a queue of a test.
func Message(id string, delay time.Duration) *driver.Message {
	return &driver.Message{
		ID: id, Kind: "test", Body: []byte(`{}`), ContentType: "application/json",
		EnqueuedAt: time.Now().Truncate(time.Millisecond).UTC(), Delay: delay,
	}
}

// Put enqueues messages.
func Put(ctx context.Context, d driver.Driver, queue string, messages ...*driver.Message) error {
	var errs []error
	for _, r := range d.Enqueue(ctx, queue, messages) {
		errs = append(errs, r.Err)
	}
	return errors.Join(errs...)
}

// Scene declares a queue, and puts in six jobs, of which two are held by a consumer and four wait, and one that is delayed for an
// hour. leave gives back what the consumer holds, and closes it.
func Scene(ctx context.Context, d driver.Driver, queue string) (leave func(context.Context) error, err error) {
	if err := d.Declare(ctx, queue); err != nil {
		return nil, err
	}
	var messages []*driver.Message
	for i := range 6 {
		messages = append(messages, Message(fmt.Sprint("ready-", i), 0))
	}
	if err := Put(ctx, d, queue, append(messages, Message("later", time.Hour))...); err != nil {
		return nil, err
	}
	o := driver.ConsumeOptions{Prefetch: 2}
	if d.Info().Limits.MaxLease > 0 {
		o.Lease = time.Minute
	}
	c, err := d.Consume(ctx, queue, o)
	if err != nil {
		return nil, err
	}
	var held []driver.Settlement
	for len(held) < 2 {
		got, err := c.Receive(ctx, 2-len(held))
		if err != nil {
			return nil, errors.Join(err, c.Close(ctx))
		}
		for _, delivery := range got {
			held = append(held, driver.Settlement{Delivery: delivery, Outcome: driver.OutcomeRelease})
		}
	}
	return func(ctx context.Context) error {
		return errors.Join(errors.Join(c.Settle(ctx, held)...), c.Close(ctx))
	}, nil
}

// Load is what package health tells an autoscaler of a queue. With a short time to keep it, each call is a new look.
func Load(d driver.Driver, queue string) (load health.QueueLoad, err error) {
	scale, err := health.TryScale(d, health.ScaleConfig{Queues: []string{queue}, Timeout: 20 * time.Second, CacheFor: time.Nanosecond})
	if err != nil {
		return load, err
	}
	answer := httptest.NewRecorder()
	scale.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/scale", nil))
	var all health.Load
	if err := json.Unmarshal(answer.Body.Bytes(), &all); err != nil {
		return load, err
	}
	load = all.Queues[queue]
	if load.Error != "" {
		return load, errors.New(load.Error)
	}
	return load, nil
}

// Await asks until the answer is the one that is wanted, or ctx ends: brokers count some things with a delay.
func Await(ctx context.Context, want int64, ask func(context.Context) (int64, error)) error {
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		got, err := ask(ctx)
		if err == nil && got == want {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			if err == nil {
				err = ctx.Err()
			}
			return fmt.Errorf("the last answer is %d, want %d: %w", got, want, err)
		}
	}
}
