package nats_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/batch-go/batch/driver"
)

// TestRemovedConsumers: what somebody removed from a queue that is there is made again
// by the next call that needs it, also where a Receive waits.
func TestRemovedConsumers(t *testing.T) {
	url := sharedURL(t)
	d := openURL(t, url)
	ctx := testContext(t)
	js := rawJetStream(t, url)
	q := declare(t, d)
	remove := func() {
		t.Helper()
		for _, name := range []string{"jobs", "scheduled", "dead"} {
			if err := js.DeleteConsumer(ctx, "batch-"+q, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
				t.Fatal(err)
			}
		}
	}
	for what, call := range calls(d) {
		remove()
		switch err := call(ctx, q); {
		case what == "find" || what == "delete":
		case err != nil:
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := d.DeleteQueue(ctx, q); err != nil {
		t.Fatal(err)
	}
	if err := d.Declare(ctx, q); err != nil {
		t.Fatal(err)
	}
	c := consume(t, d, q, 30*time.Second)
	for _, what := range []string{"before-a-receive", "while-one-waits"} {
		got := make(chan *driver.Delivery, 1)
		if what == "before-a-receive" {
			remove()
		}
		go func() {
			for {
				jobs, err := c.Receive(ctx, 1)
				if err == nil {
					got <- jobs[0]
					return
				}
				if !errors.Is(err, driver.ErrUnavailable) {
					t.Errorf("%s: %v", what, err)
					close(got)
					return
				}
			}
		}()
		if what == "while-one-waits" {
			for waiting := 0; waiting == 0; {
				info, err := js.Consumer(ctx, "batch-"+q, "jobs")
				if err != nil {
					t.Fatal(err)
				}
				waiting = info.CachedInfo().NumWaiting
			}
			remove()
		}
		enqueue(t, d, q, message(what))
		if job := <-got; job != nil {
			if err := settle(t, c, driver.Settlement{Delivery: job, Outcome: driver.OutcomeDone}); err != nil {
				t.Error(err)
			}
		}
	}
	waitDepth(t, d, q, driver.Depth{})
}

// TestRemovedConsumerForgetsMarks: a job that was taken over, whose consumer on the server
// was removed then, is handed out each time that its lease ends, as any other.
func TestRemovedConsumerForgetsMarks(t *testing.T) {
	t.Parallel() // it waits for leases
	url := sharedURL(t)
	d := openURL(t, url)
	ctx := testContext(t)
	js := rawJetStream(t, url)
	q := declare(t, d)
	enqueue(t, d, q, message("job"))
	c := consume(t, d, q, time.Second)
	next := func(deliveries int) *driver.Delivery {
		t.Helper()
		end := time.NewTimer(1100 * time.Millisecond) // the lease
		<-end.C
		if got := receive(t, c, 1)[0]; got.Deliveries == deliveries {
			return got
		}
		t.Fatalf("that is not delivery %d", deliveries)
		return nil
	}
	receive(t, c, 1)
	next(2)
	next(3)
	if err := js.DeleteConsumer(ctx, "batch-"+q, "jobs"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Depth(ctx, q); err != nil { // which makes it again
		t.Fatal(err)
	}
	next(1)
	if err := settle(t, c, driver.Settlement{Delivery: next(2), Outcome: driver.OutcomeDone}); err != nil {
		t.Error(err)
	}
	if left := messagesOf(t, url, q); left != 0 {
		t.Errorf("%d messages are left in the stream", left)
	}
}

// TestEditedStream: an operator who sets a limit that drops jobs, on a queue that is in
// use, is told of by a worker.
func TestEditedStream(t *testing.T) {
	t.Parallel() // it waits for the server to tell
	url := sharedURL(t)
	d := openURL(t, url)
	ctx := testContext(t)
	js := rawJetStream(t, url)
	q := declare(t, d)
	stream, err := js.Stream(ctx, "batch-"+q)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxMsgs = 10
	if _, err := js.UpdateStream(ctx, config); err != nil {
		t.Fatal(err)
	}
	_, err = consume(t, d, q, 30*time.Second).Receive(ctx, 1)
	refused(t, "a stream that drops its oldest jobs", err, driver.ErrConflict, "max_msgs ")
}

// TestAccountLimits: what an account demands and a queue cannot have is named.
func TestAccountLimits(t *testing.T) {
	ts := startServer(t, `jetstream: enabled, accounts { a { jetstream { max_store: 10000000, max_bytes_required: true }, users: [ { user: u, password: p } ] } }`)
	d := openURL(t, "nats://u:p@"+ts.url()[len("nats://"):])
	refused(t, "an account that wants max_bytes", d.Declare(testContext(t), "queue"), driver.ErrUnsupported, "max_bytes_required")
}
