package sqs

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
)

// stopped begins to stop a consumer, and returns where its error will be.
func stopped(ctx context.Context, c driver.Consumer) <-chan error {
	done := make(chan error, 1)
	go func() { done <- c.Stop(ctx) }()
	synctest.Wait()
	return done
}

// Stop gives back what polls bring that are still under way, and what is kept until
// it is due, without a count; what Receive returned can still be extended and
// settled.
func TestStop(t *testing.T) {
	both(t, func(t *testing.T, _ *fakeSQS, open func() testDriver) {
		d := open()
		defer closeAll(t, d)
		c := consume(t, d, 30*time.Second)
		put(t, d, job("held", 0))
		held := receive(t, c)
		receiving := make(chan error, 1)
		go func() {
			_, err := c.Receive(t.Context(), 10)
			receiving <- err
		}()
		synctest.Wait()
		done := stopped(t.Context(), c)
		if err := <-receiving; !errors.Is(err, driver.ErrClosed) {
			t.Errorf("Receive under way: %v", err)
		}
		put(t, d, job("late", 0), job("almost-due", 2500*time.Millisecond))
		if err := <-done; err != nil {
			t.Errorf("Stop: %v", err)
		}
		depth, err := d.Depth(t.Context(), "q")
		if err != nil || depth.Running != 1 || depth.Waiting+depth.Scheduled != 2 {
			t.Errorf("after Stop: %+v, %v", depth, err)
		}
		if _, err := c.Receive(t.Context(), 1); !errors.Is(err, driver.ErrClosed) {
			t.Errorf("Receive after Stop: %v", err)
		}
		if errs := c.Extend(t.Context(), []*driver.Delivery{held}); errs != nil {
			t.Errorf("Extend after Stop: %v", errs)
		}
		settle(t, c, driver.Settlement{Delivery: held, Outcome: driver.OutcomeDone})
		if err := c.Stop(t.Context()); err != nil {
			t.Errorf("a second Stop: %v", err)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := c.Stop(t.Context()); err != nil {
			t.Errorf("Stop after Close: %v", err)
		}
		if errs := c.Extend(t.Context(), []*driver.Delivery{held}); errs == nil || !errors.Is(errs[0], driver.ErrClosed) {
			t.Errorf("Extend after Close: %v", errs)
		}
		next := consume(t, d, 30*time.Second)
		for range 2 {
			got := receive(t, next)
			if got.Deliveries != 1 || got.Redeliveries != 0 {
				t.Errorf("%s given back: Deliveries %d, Redeliveries %d, want 1 and 0", got.ID, got.Deliveries, got.Redeliveries)
			}
			settle(t, next, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDone})
		}
	})
}

// abandon has c poll the job and no Receive take it.
func abandon(t *testing.T, d driver.Driver, c *consumer) {
	t.Helper()
	c.mu.Lock()
	w := c.buffer.wait(1)
	c.launch()
	c.buffer.giveUp(w)
	c.mu.Unlock()
	put(t, d, job("job", 0))
	synctest.Wait()
}

// What has arrived and was not taken is given back by Stop at once; Stop does not
// say that it was when SQS refuses.
func TestStopGivesBuffered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := f.open(t)
		defer closeAll(t, d)
		begin := time.Now()
		c := consume(t, d, 30*time.Second)
		abandon(t, d, c)
		if err := c.Stop(t.Context()); err != nil || time.Since(begin) != 0 {
			t.Errorf("Stop: %v after %s", err, time.Since(begin))
		}
		if depth, err := d.Depth(t.Context(), "q"); err != nil || depth.Waiting != 1 || depth.Running != 0 {
			t.Errorf("after Stop: %+v, %v", depth, err)
		}
		c = consume(t, d, 30*time.Second)
		f.intercept = func(action string, _ *fakeRequest) (int, any, bool) {
			return http.StatusInternalServerError, map[string]string{"__type": "com.amazonaws.sqs#InternalFailure"}, action == "SendMessageBatch"
		}
		c.mu.Lock()
		w := c.buffer.wait(1)
		c.launch()
		c.buffer.giveUp(w)
		c.mu.Unlock()
		synctest.Wait()
		if err := c.Stop(t.Context()); !errors.Is(err, driver.ErrUnavailable) {
			t.Errorf("Stop that could not give back: %v", err)
		}
		if err := c.Stop(t.Context()); err != nil {
			t.Errorf("a second Stop: %v", err)
		}
		f.intercept = nil
		c = consume(t, d, 30*time.Second)
		abandon(t, d, c)
		clear(f.queues)
		if err := c.Stop(t.Context()); err != nil {
			t.Errorf("Stop when the queue was deleted: %v", err)
		}
	})
}

// When the context of Stop ends before the polls do, these go on and give back what
// they bring, without Close.
func TestStopWithoutPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := f.open(t)
		defer closeAll(t, d)
		c := consume(t, d, 30*time.Second)
		go func() { _, _ = c.Receive(t.Context(), 1) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := <-stopped(ctx, c); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Stop: %v", err)
		}
		put(t, d, job("job", 0))
		synctest.Wait()
		if depth, err := d.Depth(t.Context(), "q"); err != nil || depth.Waiting != 1 || depth.Running != 0 {
			t.Errorf("after a poll brought a job: %+v, %v", depth, err)
		}
	})
}

// Whenever a consumer stops, while jobs arrive and Receive calls are given up: it
// holds what Receive returned and nothing else, and no count of any job has grown.
func TestStopAtAnyTime(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for round := range uint64(20) {
		both(t, func(t *testing.T, _ *fakeSQS, open func() testDriver) {
			random := rand.New(rand.NewPCG(seed, round))
			upTo := func(d time.Duration) time.Duration { return time.Duration(random.Int64N(int64(d))) }
			d := open()
			defer closeAll(t, d)
			c := consume(t, d, time.Minute)
			const jobs = 30
			var work sync.WaitGroup
			for range jobs {
				after, delay := upTo(8*time.Second), upTo(4*time.Second)
				work.Go(func() {
					time.Sleep(after)
					put(t, d, job("job", max(delay-time.Second, 0)))
				})
			}
			var mu sync.Mutex
			returned := 0
			for range 3 {
				patience, pause := upTo(2*time.Second)+1, upTo(3*time.Second)
				work.Go(func() {
					for {
						ctx, cancel := context.WithTimeout(t.Context(), patience)
						got, err := c.Receive(ctx, 3)
						cancel()
						mu.Lock()
						returned += len(got)
						mu.Unlock()
						if errors.Is(err, driver.ErrClosed) {
							return
						}
						time.Sleep(pause)
					}
				})
			}
			time.Sleep(upTo(10 * time.Second))
			if err := c.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			work.Wait()
			depth, err := d.Depth(t.Context(), "q")
			if err != nil || depth.Running != int64(returned) || depth.Waiting+depth.Scheduled != int64(jobs-returned) {
				t.Errorf("Receive returned %d of %d jobs, and the queue has %+v, %v", returned, jobs, depth, err)
			}
			next := consume(t, d, time.Minute)
			for range jobs - returned {
				if got := receive(t, next); got.Deliveries != 1 || got.Redeliveries != 0 {
					t.Errorf("given back: Deliveries %d, Redeliveries %d, want 1 and 0", got.Deliveries, got.Redeliveries)
				}
			}
		})
	}
}
