package amqp

import (
	"context"
	"errors"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
)

// onMissing calls everything that needs a queue, and checks that it is not found.
func onMissing(t *testing.T, d *base, q string) {
	t.Helper()
	ctx := testContext(t)
	results := d.Enqueue(ctx, q, []*driver.Message{message("a"), message("b", delay(time.Hour))})
	results = append(results, d.Import(ctx, q, []*driver.Entry{
		{Message: *message("c"), State: driver.StateWaiting},
		{Message: *message("d", delay(time.Hour)), State: driver.StateScheduled},
		{Message: *message("e"), State: driver.StateDead, Reason: driver.ReasonPermanent},
	})...)
	if len(results) != 5 {
		t.Fatalf("%d results", len(results))
	}
	for _, r := range results {
		notFound(t, "Enqueue or Import", r.Err)
	}
	_, err := d.Depth(ctx, q)
	notFound(t, "Depth", err)
	_, _, err = d.DeadLetters(ctx, q, "", 10)
	notFound(t, "DeadLetters", err)
	for _, which := range []driver.Selection{{All: true}, {IDs: []string{"a"}}} {
		_, err = d.Redrive(ctx, q, which)
		notFound(t, "Redrive", err)
		_, err = d.Discard(ctx, q, which)
		notFound(t, "Discard", err)
	}
	_, err = d.Purge(ctx, q)
	notFound(t, "Purge", err)
	_, err = d.Consume(ctx, q, driver.ConsumeOptions{Prefetch: 1})
	notFound(t, "Consume", err)
	if err := d.DeleteQueue(ctx, q); err != nil {
		t.Errorf("DeleteQueue of a missing queue: %v", err)
	}
}

// Only Declare makes a queue. One that was deleted behind an open handle is missing,
// too, also after the handle had to connect anew.
func TestMissingQueue(t *testing.T) {
	eachShape(t, func(t *testing.T, o opener) {
		d := o.open(t)
		onMissing(t, d, "missing")
		absent(t, o.url, "missing")

		q := queue(t, d)
		c := consume(t, d, q, 1)
		enqueue(t, d, q, message("a"))
		settle(t, c, driver.Settlement{Delivery: receive(t, c), Outcome: driver.OutcomeDone})
		if err := o.open(t).DeleteQueue(testContext(t), q); err != nil {
			t.Fatal(err)
		}
		onMissing(t, d, q)
		for _, way := range []*connector{d.publishing, d.consuming} {
			conn, _ := way.live()
			conn.cut()
			<-conn.ended
		}
		onMissing(t, d, q)
		notFound(t, "Receive", receiveError(t, c))
		absent(t, o.url, q)

		if err := o.open(t).Declare(testContext(t), q); err != nil {
			t.Fatal(err)
		}
		enqueue(t, d, q, message("b"))
		if got := receive(t, c); got.ID != "b" {
			t.Errorf("received %s after the queue was declared again", got.ID)
		}
	})
}

// All Receive calls of a consumer learn that the queue is missing, whichever of them the broker
// tells, and whatever else finds it out meanwhile and ends the channel.
func TestMissingQueueOfManyReceivers(t *testing.T) {
	const receivers = 8
	d := open(t)
	for range 3 {
		q := queue(t, d)
		c := consume(t, d, q, receivers)
		// With the rest of it there, nothing but a subscription finds out.
		if _, err := raw(t, testURL(t)).QueueDelete(newNames(q).main, false, false, false); err != nil {
			t.Fatal(err)
		}
		errs := make(chan error, receivers)
		for range receivers {
			go func() {
				_, err := c.Receive(testContext(t), 1)
				errs <- err
			}()
		}
		for range receivers {
			notFound(t, "Receive", <-errs)
		}
	}
}

// receiveError is the error of a Receive that is not about the connection.
func receiveError(t testing.TB, c driver.Consumer) error {
	t.Helper()
	for {
		got, err := c.Receive(testContext(t), 1)
		if len(got) > 0 {
			t.Fatalf("received %s", got[0].ID)
		}
		if !errors.Is(err, driver.ErrUnavailable) {
			return err
		}
	}
}

// A call on a missing queue does not even make the lock. If it did, it would wait
// here for the one that another program has.
func TestMissingQueueHasNoLock(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	if err := d.DeleteQueue(testContext(t), q); err != nil {
		t.Fatal(err)
	}
	if _, err := raw(t, testURL(t)).QueueDeclare(newNames(q).lock, false, true, true, false, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(testContext(t), bound)
	defer cancel()
	_, _, err := d.DeadLetters(ctx, q, "", 1)
	notFound(t, "DeadLetters", err)
}

// Delay queues that a handle knows are gone when the queue was deleted and declared
// again; jobs are delayed nonetheless, and retries as well.
func TestDelayQueuesOfADeletedQueue(t *testing.T) {
	t.Parallel() // it waits for the broker to notice
	d := open(t)
	q := queue(t, d)
	ctx := testContext(t)
	enqueue(t, d, q, message("a", delay(time.Hour)))
	known, _ := d.delays.Load(q)
	<-known.(*delayQueues).made
	enqueue(t, d, q, message("b", delay(time.Hour)))
	other := open(t)
	if err := errors.Join(other.DeleteQueue(ctx, q), other.Declare(ctx, q)); err != nil {
		t.Fatal(err)
	}
	enqueue(t, d, q, message("c", delay(150*time.Millisecond)), message("d", delay(time.Hour)))
	c := consume(t, d, q, 1)
	got := receive(t, c)
	if got.ID != "c" || got.Deliveries != 1 {
		t.Fatalf("received %s for the time %d", got.ID, got.Deliveries)
	}
	d.delays.Store(q, known) // as if it had not learned of it
	settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeRetry, Delay: 100 * time.Millisecond, Failures: 1})
	if got = receive(t, c); got.ID != "c" || got.Failures != 1 {
		t.Errorf("received %s after %d failures", got.ID, got.Failures)
	}
}

// What has nothing to do says so without a look at the broker, also after Close.
func TestNothingToDo(t *testing.T) {
	address := testURL(t)
	d, err := Open(testContext(t), address)
	if err != nil {
		t.Fatal(err)
	}
	q := queue(t, d)
	c := consume(t, d, q, 1)
	ctx := testContext(t)
	for _, when := range []string{"before Close", "after Close"} {
		for what, call := range map[string]func() (int, error){
			"Redrive": func() (int, error) { return d.Redrive(ctx, "missing", driver.Selection{}) },
			"Discard": func() (int, error) { return d.Discard(ctx, "missing", driver.Selection{IDs: []string{}}) },
			"Enqueue": func() (int, error) { return len(d.Enqueue(ctx, "missing", nil)), nil },
			"Import":  func() (int, error) { return len(d.Import(ctx, "missing", nil)), nil },
			"Settle":  func() (int, error) { return len(c.Settle(ctx, nil)), nil },
			"Extend":  func() (int, error) { return len(c.Extend(ctx, nil)), nil },
		} {
			if n, err := call(); n != 0 || err != nil {
				t.Errorf("%s of nothing %s: %d, %v", what, when, n, err)
			}
		}
		if when == "before Close" {
			if err := d.DeleteQueue(ctx, q); err != nil {
				t.Error(err)
			}
			closeDriver(t, d)
		}
	}
}

// The client library has nothing to say to anybody but its caller.
func TestLibraryIsSilent(t *testing.T) {
	if _, silent := amqp091.Logger.(amqp091.NullLogger); !silent {
		t.Errorf("the library logs through a %T", amqp091.Logger)
	}
}
