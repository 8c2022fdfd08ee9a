package sqs

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/batch-go/batch/driver"
)

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
		settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDone})
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
		giveUp := func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := c.Receive(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("Receive whose context ended: %v", err)
			}
		}
		giveUp()
		put(t, d, job("a", 0))
		synctest.Wait()
		got := receive(t, c)
		if got.Redeliveries != 0 {
			t.Error("the job was handed out before")
		}
		settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDone})

		giveUp()
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
		settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDone})

		giveUp()
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
		settle(t, c, driver.Settlement{Delivery: receive(t, c), Outcome: driver.OutcomeDone})
	})
}

// hanging is an HTTP client whose server never answers.
type hanging struct{}

// Do waits until the request's context ends.
func (hanging) Do(request *http.Request) (*http.Response, error) {
	<-request.Context().Done()
	return nil, request.Context().Err()
}

// A poll asks where its queue is, or what becomes of a message that is no job, and no
// server answers: it ends with an error that is not that of a context, as Receive's goes on.
func TestPollWhoseOtherRequestsHang(t *testing.T) {
	for _, known := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			d := f.open(t)
			defer closeAll(t, d)
			c := consume(t, d, 30*time.Second)
			answered := d.client
			silent := newClient(awssqs.New(answered.Options(), func(o *awssqs.Options) { o.HTTPClient = hanging{} }))
			if known {
				f.put(t, "q", "no job", nil)
				f.intercept = func(action string, _ *fakeRequest) (int, any, bool) {
					if action == "ReceiveMessage" {
						d.client = silent // after the poll's own request
					}
					return 0, nil, false
				}
			} else {
				d.queues.Delete("q")
				d.client = silent
			}
			_, err := c.Receive(t.Context(), 1)
			if !errors.Is(err, driver.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Receive: %v", err)
			}
			f.intercept, d.client = nil, answered
			put(t, d, job("job", 0))
			settle(t, c, driver.Settlement{Delivery: receive(t, c), Outcome: driver.OutcomeDone})
		})
	}
}

// A job that a poll brings and nobody takes is given back with the count of its lost
// holders as it was, not one more and not one less.
func TestGivenBackKeepsCounts(t *testing.T) {
	both(t, func(t *testing.T, _ *fakeSQS, open func() testDriver) {
		d := open()
		defer closeAll(t, d)
		c := consume(t, d, 30*time.Second)
		put(t, d, job("job", time.Second))
		receive(t, c)
		time.Sleep(40 * time.Second) // its holder vanished
		for range 5 {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			// Receive starts a poll and is given up: nobody takes what it brings.
			if _, err := c.Receive(ctx, 1); err == nil {
				t.Fatal("Receive on a ctx that ended")
			}
			c.mu.Lock()
			w := c.buffer.wait(1)
			c.launch()
			c.buffer.giveUp(w)
			c.mu.Unlock()
			synctest.Wait()
			time.Sleep(2 * maxUnclaimed)
		}
		got := receive(t, c)
		if got.Deliveries != 2 || got.Redeliveries != 1 {
			t.Errorf("Deliveries %d, Redeliveries %d, want 2 and 1", got.Deliveries, got.Redeliveries)
		}
		settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDone})
	})
}

// A poll that receives a job before its time and fails to send it on is no holder
// that vanished, however often; one that vanishes later is.
func TestEarlyIsNoLostHolder(t *testing.T) {
	both(t, func(t *testing.T, f *fakeSQS, open func() testDriver) {
		d := open()
		defer closeAll(t, d)
		put(t, d, job("job", 20*time.Minute))
		begin, refused := time.Now(), 0
		f.intercept = func(action string, _ *fakeRequest) (int, any, bool) {
			if action != "SendMessageBatch" || time.Since(begin) > 20*time.Minute {
				return 0, nil, false
			}
			refused++
			return http.StatusInternalServerError, map[string]string{"__type": "com.amazonaws.sqs#InternalFailure"}, true
		}
		c := consume(t, d, 30*time.Second)
		var got *driver.Delivery
		for got == nil {
			page, err := c.Receive(t.Context(), 1)
			if err == nil {
				got = page[0]
			}
		}
		if refused < 3 {
			t.Fatalf("%d failures to send on", refused)
		}
		if got.Deliveries != 1 || got.Redeliveries != 0 {
			t.Errorf("Deliveries %d, Redeliveries %d, want 1 and 0", got.Deliveries, got.Redeliveries)
		}
		time.Sleep(40 * time.Second)
		if got = receive(t, c); got.Deliveries != 2 || got.Redeliveries != 1 {
			t.Errorf("after its holder vanished: Deliveries %d, Redeliveries %d, want 2 and 1", got.Deliveries, got.Redeliveries)
		}
	})
}
