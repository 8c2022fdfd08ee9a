package nats_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// TestFewSubscriptions: where the server allows a connection few subscriptions, as accounts do that
// are paid for by them, jobs that come alone are stored nevertheless, and received. A Receive that
// gets no subscription is told.
func TestFewSubscriptions(t *testing.T) {
	t.Parallel()
	ts := startServer(t, "max_subscriptions: 3")
	d := openURL(t, ts.url())
	q := declare(t, d)
	const callers = 8
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			for k := range 3 {
				ctx, cancel := context.WithTimeout(context.Background(), bound)
				for _, r := range d.Enqueue(ctx, q, []*driver.Message{message(fmt.Sprint(i, "-", k))}) {
					if r.Err != nil {
						t.Error(r.Err)
					}
				}
				cancel()
			}
		})
	}
	all.Wait()
	c := consume(t, d, q, 30*time.Second)
	ctx := testContext(t)
	for left := 3 * callers; left > 0; {
		got, err := c.Receive(ctx, left)
		if ctx.Err() != nil {
			t.Fatalf("%d are missing: %v", left, err)
		}
		for _, g := range got {
			if err := settle(t, c, driver.Settlement{Delivery: g, Outcome: driver.OutcomeDone}); err != nil {
				t.Error(err)
			}
			left--
		}
	}
	// There is room for one that waits beside the answers to all, and not for all of them.
	waiting := make(chan error)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	const receivers = 4
	for range receivers {
		go func() {
			_, err := c.Receive(ctx, 1)
			waiting <- err
		}()
	}
	if err := <-waiting; !errors.Is(err, driver.ErrFull) {
		t.Errorf("one of %d that receive: %v", receivers, err)
	}
	cancel()
	for range receivers - 1 {
		<-waiting
	}
}
