package redis

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

func TestStop(t *testing.T) {
	t.Parallel() // it waits for a lease, which a busy machine does not miss
	const lease = 2 * time.Second
	address := brokers.NewRedis(t, brokers.Redis8).URL() // of its own, as all that wait on it are counted
	d, r := openAt(t, address), rawAt(t, address)
	q := queue(t, d)
	ctx := testContext(t)
	c := consume(t, d, q, lease)
	enqueue(t, d, q, message("a"), message("b"), message("c"))
	got := receive(t, c, 3)
	waiting := []chan received{background(ctx, c, 1), background(ctx, c, 1)}
	eventually(t, "a blocked consumer", func() bool { return blocked(t, r, d, q) == 1 })
	for range 2 {
		if err := c.Stop(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if n := blocked(t, r, d, q); n != 0 {
		t.Errorf("%d BLPOPs go on", n)
	}
	waiting = append(waiting, background(ctx, c, 1))
	for _, ch := range waiting {
		if got := <-ch; !errors.Is(got.err, driver.ErrClosed) {
			t.Errorf("received %v, %v", ids(got.got), got.err)
		}
	}
	// What it holds stays held for longer than its lease, and can be settled.
	enqueue(t, d, q, message("d"))
	for range 6 {
		if errs := c.Extend(ctx, got); errs != nil {
			t.Fatal(errs)
		}
		wait, cancel := context.WithTimeout(ctx, lease/4)
		<-wait.Done()
		cancel()
	}
	settle(t, c, driver.Settlement{Delivery: got[0], Outcome: driver.OutcomeDone}, driver.Settlement{Delivery: got[1], Outcome: driver.OutcomeRelease},
		driver.Settlement{Delivery: got[2], Outcome: driver.OutcomeRetry, Failures: 1})
	depth(t, d, q, driver.Depth{Waiting: 3})
	if err := c.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(ctx); err != nil {
		t.Errorf("Stop after Close: %v", err)
	}
	next := consume(t, d, q, time.Minute)
	for _, g := range receive(t, next, 3) {
		if g.Redeliveries != 0 {
			t.Errorf("received %+v", g)
		}
	}
}

// TestStopGivesBackWhatNobodyGot: whenever Stop comes, what the server has handed out is
// with a call that returned it, or waits as if it had not been handed out.
func TestStopGivesBackWhatNobodyGot(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	ctx := testContext(t)
	const rounds, jobs = 60, 6
	for round := range rounds {
		c := consume(t, d, q, time.Hour)
		calls := []chan received{background(ctx, c, 2), background(ctx, c, 2), background(ctx, c, 2)}
		var ms []*driver.Message
		for i := range jobs {
			ms = append(ms, message(fmt.Sprintf("%d-%d", round, i)))
		}
		enqueued := make(chan struct{})
		go func() {
			defer close(enqueued)
			enqueue(t, d, q, ms...)
		}()
		end := c.Stop
		if round%3 == 0 {
			end = c.Close
		}
		if round%2 == 0 {
			<-enqueued // so that the jobs are on their way
		}
		if err := end(ctx); err != nil {
			t.Fatal(err)
		}
		<-enqueued
		held := 0
		for _, ch := range calls {
			held += len((<-ch).got)
		}
		depth(t, d, q, driver.Depth{Waiting: int64(jobs - held), Running: int64(held)})
		rest := consume(t, d, q, time.Hour)
		if held < jobs {
			got := receive(t, rest, jobs-held)
			for _, g := range got {
				if g.Deliveries != 1 || g.Redeliveries != 0 {
					t.Fatalf("round %d: received %+v", round, g)
				}
			}
			done(t, rest, got...)
		}
		if err := rest.Close(ctx); err != nil {
			t.Fatal(err)
		}
		if err := d.DeleteQueue(ctx, q); err != nil {
			t.Fatal(err)
		}
		declare(t, d, q)
	}
}

// TestStopInTime: Stop does not outlive its ctx, and Close does what is left.
func TestStopInTime(t *testing.T) {
	d, r := open(t), raw(t)
	q := queue(t, d)
	c := consume(t, d, q, time.Minute)
	ch := background(testContext(t), c, 1)
	eventually(t, "a blocked consumer", func() bool { return blocked(t, r, d, q) == 1 })
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Stop(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("Stop: %v", err)
	}
	if got := <-ch; !errors.Is(got.err, driver.ErrClosed) {
		t.Errorf("received %v", got)
	}
	if err := c.Close(testContext(t)); err != nil {
		t.Errorf("Close: %v", err)
	}
	eventually(t, "the BLPOP to end", func() bool { return blocked(t, r, d, q) == 0 })
}
