package doctor

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
)

// exercise makes a queue, does everything with it, and deletes it, whatever comes. It stops
// where the next step needs one that failed.
func (x *examination) exercise(ctx context.Context) {
	b := make([]byte, 4)
	_, _ = rand.Read(b) // it never fails
	t := &trial{examination: x, queue: exerciseQueue + hex.EncodeToString(b)}
	declared := t.step(ctx, "declare a queue", func(ctx context.Context) error { return x.driver.Declare(ctx, t.queue) })
	defer func() {
		// What a declaration made before it failed is removed too.
		gone := t.step(context.WithoutCancel(ctx), "delete a queue", func(ctx context.Context) error { return x.driver.DeleteQueue(ctx, t.queue) })
		if t.failures == 0 && gone && ctx.Err() == nil {
			x.ok("exercise", "on a queue of its own jobs were enqueued, run, retried, dead-lettered, redriven and deleted")
		}
	}()
	if !declared {
		return
	}
	if t.step(ctx, "enqueue a job", t.enqueue) && t.step(ctx, "consume", t.consume) {
		t.life(ctx)
		t.step(ctx, "stop a worker", func(ctx context.Context) error { return t.consumer.Close(ctx) })
	}
	t.capabilities(ctx)
}

// enqueue stores the job that lives through everything.
func (t *trial) enqueue(ctx context.Context) error { return t.send(ctx, message("doctor")) }

// consume opens a consumer.
func (t *trial) consume(ctx context.Context) (err error) {
	limits := t.driver.Info().Limits
	options := driver.ConsumeOptions{Prefetch: 1}
	if limits.MaxLease > 0 {
		options.Lease = min(max(30*time.Second, limits.MinLease), limits.MaxLease)
	}
	t.consumer, err = t.driver.Consume(ctx, t.queue, options)
	return err
}

// life takes the job from one state to the next.
func (t *trial) life(ctx context.Context) {
	// A delay of 100 ms is long enough for RabbitMQ to make its delay queues.
	retry := driver.Settlement{Outcome: driver.OutcomeRetry, Delay: 100 * time.Millisecond, Failures: 1, Error: "a trial of batch doctor"}
	dead := driver.Settlement{Outcome: driver.OutcomeDead, Failures: 2, Reason: driver.ReasonPermanent, Error: "a trial of batch doctor"}
	steps := []struct {
		what string
		do   func(context.Context) error
	}{
		{"receive a job and retry it", t.settle(retry)},
		{"give a job back", t.settle(driver.Settlement{Outcome: driver.OutcomeRelease})},
		{"dead-letter a job", t.settle(dead)},
		{"list dead letters", t.list},
		{"redrive a dead letter", t.redrive},
		{"receive a redriven job, extend its lease and finish it", t.settle(driver.Settlement{Outcome: driver.OutcomeDone})},
		{"count the jobs of a queue", func(ctx context.Context) error { _, err := t.driver.Depth(ctx, t.queue); return err }},
	}
	for _, s := range steps {
		if !t.step(ctx, s.what, s.do) {
			return
		}
	}
}

// settle makes a step that receives the job, extends its lease and settles it.
func (t *trial) settle(as driver.Settlement) func(context.Context) error {
	return func(ctx context.Context) error {
		got, err := t.consumer.Receive(ctx, 1)
		if err != nil {
			return err
		}
		if err := errors.Join(t.consumer.Extend(ctx, got)...); err != nil {
			return err
		}
		as.Delivery = got[0]
		return errors.Join(t.consumer.Settle(ctx, []driver.Settlement{as})...)
	}
}

// list looks for the dead letter.
func (t *trial) list(ctx context.Context) error {
	page, _, err := t.driver.DeadLetters(ctx, t.queue, "", 10)
	if err != nil {
		return err
	}
	if len(page) == 0 {
		return errors.New("the dead letter that was just stored is not there")
	}
	if reason := page[0].Reason; reason != driver.ReasonPermanent {
		return fmt.Errorf("the dead letter has the reason %s: %s", reason, page[0].LastError)
	}
	return nil
}

// redrive takes the dead letter back.
func (t *trial) redrive(ctx context.Context) error {
	n, err := t.driver.Redrive(ctx, t.queue, driver.Selection{All: true})
	if err == nil && n != 1 {
		err = fmt.Errorf("%d dead letters were redriven, and there was 1", n)
	}
	return err
}
