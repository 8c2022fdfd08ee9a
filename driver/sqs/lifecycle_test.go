package sqs

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
)

// job is a message as the core would make it.
func job(id string, delay time.Duration) *driver.Message {
	return &driver.Message{
		ID: id, Kind: "test", ContentType: "application/json", Body: []byte(`{"n":1}`),
		EnqueuedAt: time.Now().Truncate(time.Millisecond).UTC(), Delay: delay,
	}
}

func put(t *testing.T, d *Driver, messages ...*driver.Message) {
	t.Helper()
	for _, r := range d.Enqueue(t.Context(), "q", messages) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
}

func consume(t *testing.T, d *Driver, lease time.Duration) *consumer {
	t.Helper()
	c, err := d.Consume(t.Context(), "q", driver.ConsumeOptions{Lease: lease, Prefetch: 10})
	if err != nil {
		t.Fatal(err)
	}
	return c.(*consumer)
}

func receive(t *testing.T, c driver.Consumer) *driver.Delivery {
	t.Helper()
	got, err := c.Receive(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return got[0]
}

func settle(t *testing.T, c driver.Consumer, s driver.Settlement) {
	t.Helper()
	for _, err := range c.Settle(t.Context(), []driver.Settlement{s}) {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func closeAll(t *testing.T, d *Driver) {
	t.Helper()
	if err := d.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// A delay outlives the retention of the queue, by far, as long as a consumer is
// there: each quarter of an hour it is sent on.
func TestDelayOutlivesRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := f.open(t)
		defer closeAll(t, d)
		const delay = 3*24*time.Hour + 250*time.Millisecond
		begin := time.Now()
		put(t, d, job("late", delay))
		c := consume(t, d, 30*time.Second)
		got := receive(t, c)
		if late := time.Since(begin) - delay; late < 0 || late > time.Second {
			t.Errorf("the job came %s after its time", late)
		}
		if got.ID != "late" || got.Deliveries != 1 || got.Redeliveries != 0 || got.Delay != 0 {
			t.Errorf("delivered as %+v", got)
		}
		settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.Done})
	})
}

// A retry of more than SQS can hold back, of fractions of a second, and at once.
func TestRetryDelays(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Millisecond, 1500 * time.Millisecond, 15 * time.Minute, 15*time.Minute + time.Millisecond, 26 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			d := f.open(t)
			defer closeAll(t, d)
			put(t, d, job("job", 0))
			c := consume(t, d, 30*time.Second)
			begin := time.Now()
			settle(t, c, driver.Settlement{Delivery: receive(t, c), Outcome: driver.Retry, Delay: delay, Failures: 3, Error: "\x00 \uFFFE <&>"})
			got := receive(t, c)
			if late := time.Since(begin) - delay; late < 0 || late > 10*time.Millisecond {
				t.Errorf("delay %s: the retry came %s after its time", delay, late)
			}
			if got.Failures != 3 || got.LastError != "\x00 \uFFFE <&>" || got.Deliveries != 2 || got.Redeliveries != 0 {
				t.Errorf("delay %s: delivered with Failures %d, LastError %q, Deliveries %d, Redeliveries %d", delay, got.Failures, got.LastError, got.Deliveries, got.Redeliveries)
			}
			settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.Done})
		})
	}
}

// SQS would delete a job by a handle whose lease has ended; the driver says that
// the lease is lost, and asks nobody.
func TestLeaseEndsByOwnClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := f.open(t)
		defer closeAll(t, d)
		put(t, d, job("job", 0))
		c := consume(t, d, 2*time.Second)
		first := receive(t, c)
		time.Sleep(2 * time.Second)
		for _, outcome := range []driver.Outcome{driver.Done, driver.Retry, driver.Release, driver.Dead} {
			errs := c.Settle(t.Context(), []driver.Settlement{{Delivery: first, Outcome: outcome}})
			if len(errs) != 1 || !errors.Is(errs[0], driver.ErrLeaseLost) {
				t.Errorf("%s after the lease: %v", outcome, errs)
			}
		}
		if errs := c.Extend(t.Context(), []*driver.Delivery{first}); len(errs) != 1 || !errors.Is(errs[0], driver.ErrLeaseLost) {
			t.Errorf("extend after the lease: %v", errs)
		}
		if n := f.count("DeleteMessageBatch") + f.count("ChangeMessageVisibilityBatch"); n != 0 {
			t.Errorf("%d requests were made", n)
		}
		second := receive(t, c)
		if second.Redeliveries != 1 {
			t.Errorf("Redeliveries %d, want 1", second.Redeliveries)
		}
		settle(t, c, driver.Settlement{Delivery: second, Outcome: driver.Done})
	})
}

// An extended lease ends at SQS's twelve hours, and the error says why.
func TestExtendUntilTwelveHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := f.open(t)
		defer closeAll(t, d)
		put(t, d, job("job", 0))
		c := consume(t, d, time.Minute)
		held := []*driver.Delivery{receive(t, c)}
		begin := time.Now()
		for {
			time.Sleep(30 * time.Second)
			errs := c.Extend(t.Context(), held)
			if errs == nil {
				continue
			}
			var e *driver.Error
			if !errors.As(errs[0], &e) || e.Kind != driver.ErrBroker || e.Hint == "" {
				t.Errorf("the error is %v", errs[0])
			}
			break
		}
		if took := time.Since(begin); took < 11*time.Hour+58*time.Minute || took > 12*time.Hour {
			t.Errorf("the lease was extended for %s", took)
		}
	})
}

// What a poll brings after its Receive was given up is handed to the next one; if
// none comes it is given back, at the latest when the consumer is closed.
func TestAbandonedPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := f.open(t)
		defer closeAll(t, d)
		c := consume(t, d, 30*time.Second)
		abandon := func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := c.Receive(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("Receive whose context ended: %v", err)
			}
		}
		abandon()
		put(t, d, job("a", 0))
		synctest.Wait()
		got := receive(t, c)
		if got.Redeliveries != 0 {
			t.Error("the job was handed out before")
		}
		settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.Done})

		abandon()
		put(t, d, job("b", 1250*time.Millisecond))
		sends := f.count("SendMessageBatch")
		time.Sleep(2*maxUnclaimed + 300*time.Millisecond)
		synctest.Wait()
		if n := f.count("SendMessageBatch") - sends; n != 1 {
			t.Errorf("a job that nobody came for was given back by %d requests", n)
		}
		got = receive(t, c)
		if got.Deliveries != 1 || got.Redeliveries != 0 {
			t.Errorf("given back without having been handed out: Deliveries %d, Redeliveries %d", got.Deliveries, got.Redeliveries)
		}
		settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.Done})

		abandon()
		put(t, d, job("c", 0))
		synctest.Wait()
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		depth, err := d.Depth(t.Context(), "q")
		if err != nil || depth.Waiting != 1 || depth.Running != 0 {
			t.Errorf("after Close: %+v, %v", depth, err)
		}
	})
}

// Close lets a poll end by itself; it cuts it off only when its context ends.
func TestCloseWaitsForPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := f.open(t)
		defer closeAll(t, d)
		for _, patience := range []time.Duration{time.Minute, 3 * time.Second} {
			c := consume(t, d, 30*time.Second)
			ended := make(chan error)
			go func() {
				_, err := c.Receive(t.Context(), 1)
				ended <- err
			}()
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			begin := time.Now()
			go func() { _ = c.Close(ctx); cancel(); ended <- nil }()
			if err := <-ended; !errors.Is(err, driver.ErrClosed) || time.Since(begin) > 0 {
				t.Errorf("Receive: %v after %s", err, time.Since(begin))
			}
			<-ended
			if took := time.Since(begin); took != min(patience, 20*time.Second) {
				t.Errorf("with %s Close took %s", patience, took)
			}
		}
	})
}

// A poll that no server answers ends with an error, and the next one goes on.
func TestPollThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := f.open(t)
		defer closeAll(t, d)
		c := consume(t, d, 30*time.Second)
		f.intercept = func(action string, in *fakeRequest) (int, any, bool) {
			in.WaitTimeSeconds = 3600
			return 0, nil, false
		}
		_, err := c.Receive(t.Context(), 1)
		if !errors.Is(err, driver.ErrUnavailable) {
			t.Errorf("Receive: %v", err)
		}
		f.intercept = nil
		put(t, d, job("job", 0))
		settle(t, c, driver.Settlement{Delivery: receive(t, c), Outcome: driver.Done})
	})
}

// A queue of a name that was deleted cannot be made for a minute.
func TestDeclareAfterDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := f.open(t)
		defer closeAll(t, d)
		if err := d.DeleteQueue(t.Context(), "q"); err != nil {
			t.Fatal(err)
		}
		err := d.Declare(t.Context(), "q")
		if !errors.Is(err, driver.ErrUnavailable) || driver.FateOf(err) != driver.FateNotStored {
			t.Errorf("Declare at once: %v", err)
		}
		time.Sleep(time.Minute)
		if err := d.Declare(t.Context(), "q"); err != nil {
			t.Errorf("Declare after a minute: %v", err)
		}
	})
}

// Nothing is tried twice: a throttled request is one request.
func TestNoRetries(t *testing.T) {
	f := newFake()
	d := f.open(t)
	defer closeAll(t, d)
	f.intercept = func(action string, _ *fakeRequest) (int, any, bool) {
		return http.StatusBadRequest, map[string]string{"__type": "com.amazonaws.sqs#RequestThrottled", "message": "slow down"}, action == "SendMessageBatch"
	}
	results := d.Enqueue(t.Context(), "q", []*driver.Message{job("a", 0), job("b", 0)})
	for _, r := range results {
		if !errors.Is(r.Err, driver.ErrUnavailable) || driver.FateOf(r.Err) != driver.FateNotStored {
			t.Errorf("throttled: %v", r.Err)
		}
	}
	if n := f.count("SendMessageBatch"); len(results) != 2 || n != 1 {
		t.Errorf("%d results by %d requests", len(results), n)
	}
}
