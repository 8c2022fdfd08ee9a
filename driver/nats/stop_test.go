package nats_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/nats"
	"github.com/batch-go/batch/internal/brokers"
)

// TestStop: on one server and on a cluster.
func TestStop(t *testing.T) {
	t.Run("server", func(t *testing.T) { testStop(t, openURL(t, sharedURL(t)), 50) })
	t.Run("cluster", func(t *testing.T) {
		testStop(t, openURL(t, harness(brokers.NATSCluster(t, brokers.NATS2).URL(), "").URL), 5)
	})
}

// testStop stops consumers whose pulls wait, while jobs come: nothing stays behind
// with them, and what was received before is settled after.
func testStop(t *testing.T, d *nats.Driver, rounds int) {
	ctx := testContext(t)
	q := declare(t, d)
	t.Cleanup(func() {
		if err := d.DeleteQueue(context.Background(), q); err != nil {
			t.Error(err)
		}
	})
	rest := consume(t, d, q, 30*time.Second)
	for round := range rounds {
		enqueue(t, d, q, message("held"))
		c := consume(t, d, q, 30*time.Second)
		held := receive(t, c, 1)[0]
		// A Receive that was given up leaves its pull behind, and another one waits.
		short, cancel := context.WithCancel(ctx)
		receiving := make(chan []*driver.Delivery, 2)
		for _, ctx := range []context.Context{short, ctx} {
			go func() {
				got, err := c.Receive(ctx, 10)
				if err != nil && !errors.Is(err, driver.ErrClosed) && !errors.Is(err, context.Canceled) {
					t.Errorf("a Receive that waits: %v", err)
				}
				receiving <- got
			}()
		}
		cancel()
		const count = 20
		var enqueueing sync.WaitGroup
		enqueueing.Go(func() {
			for i := range count {
				if r := d.Enqueue(ctx, q, []*driver.Message{message(fmt.Sprintf("job-%d-%d", round, i))}); r != nil {
					t.Errorf("enqueue: %+v", r)
				}
			}
		})
		if err := c.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
		enqueueing.Wait()
		returned := append(<-receiving, <-receiving...)
		if _, err := c.Receive(ctx, 1); !errors.Is(err, driver.ErrClosed) {
			t.Fatalf("a Receive after Stop: %v", err)
		}
		if errs := c.Extend(ctx, []*driver.Delivery{held}); errs != nil {
			t.Errorf("extend after Stop: %v", errs)
		}
		for _, g := range append(returned, held) {
			if err := settle(t, c, driver.Settlement{Delivery: g, Outcome: driver.OutcomeDone}); err != nil {
				t.Errorf("settle after Stop: %v", err)
			}
		}
		if err := c.Stop(ctx); err != nil {
			t.Errorf("a second Stop: %v", err)
		}
		// Nobody waits for a lease to end: that would take longer than the test.
		for _, g := range receive(t, rest, count-len(returned)) {
			if g.Redeliveries != 0 {
				t.Errorf("%s counts %d lost holders", g.ID, g.Redeliveries)
			}
			if err := settle(t, rest, driver.Settlement{Delivery: g, Outcome: driver.OutcomeDone}); err != nil {
				t.Error(err)
			}
		}
		waitDepth(t, d, q, driver.Depth{})
		if err := c.Close(ctx); err != nil {
			t.Errorf("close after Stop: %v", err)
		}
		if err := c.Stop(ctx); err != nil {
			t.Errorf("stop after Close: %v", err)
		}
	}
}

// TestStopOverAnEndedContext: it ends receiving, says that it did not end the rest,
// and Close does.
func TestStopOverAnEndedContext(t *testing.T) {
	d := openURL(t, sharedURL(t))
	ctx := testContext(t)
	q := declare(t, d)
	c := consume(t, d, q, 30*time.Second)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := c.Stop(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("stop: %v", err)
	}
	if _, err := c.Receive(ctx, 1); !errors.Is(err, driver.ErrClosed) {
		t.Errorf("a Receive after Stop: %v", err)
	}
	if err := c.Close(ctx); err != nil {
		t.Error(err)
	}
}
