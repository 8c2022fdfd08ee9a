package nats_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/nats"
)

// smallStore is a server's storage that a test fills in a moment.
const smallStore = `jetstream { max_file_store: 4194304 }`

// fill enqueues jobs of some size until the server is full, and counts them.
func fill(t *testing.T, d *nats.Driver, q string, size int) (stored int) {
	t.Helper()
	for {
		m := message(fmt.Sprint("fill-", stored))
		m.Body = make([]byte, size)
		for _, r := range d.Enqueue(testContext(t), q, []*driver.Message{m}) {
			if errors.Is(r.Err, driver.ErrFull) {
				return stored
			}
			t.Fatal(r.Err)
		}
		stored++
	}
}

// drain runs jobs until there were as many as are wanted and no more comes, or none has come for a minute. It
// counts them.
func drain(t *testing.T, d *nats.Driver, q string, want int) (ran int) {
	t.Helper()
	c := consume(t, d, q, 30*time.Second)
	defer c.Close(testContext(t))
	for {
		patience := time.Minute
		if ran >= want {
			patience = 3 * time.Second
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		got, err := c.Receive(ctx, 100)
		over := ctx.Err() != nil
		cancel()
		if over {
			return ran
		}
		if err != nil {
			t.Logf("receive: %v", err)
			continue
		}
		for _, g := range got {
			if err := settle(t, c, driver.Settlement{Delivery: g, Outcome: driver.OutcomeDone}); err != nil {
				t.Errorf("settle: %v", err)
				continue
			}
			ran++
		}
	}
}

// TestFullServerHandsOutAgain: all jobs were handed out, their holder vanished, and the
// server is full: the next worker gets them, and makes room.
func TestFullServerHandsOutAgain(t *testing.T) {
	t.Parallel()
	ts := startServer(t, smallStore)
	d := openURL(t, ts.url())
	q := declare(t, d)
	stored := fill(t, d, q, 10<<10)
	gone := consume(t, d, q, time.Second)
	receive(t, gone, stored)
	end := time.NewTimer(1100 * time.Millisecond) // the leases
	<-end.C
	if ran := drain(t, d, q, stored); ran != stored {
		t.Errorf("%d of %d jobs ran", ran, stored)
	}
	waitDepth(t, d, q, driver.Depth{})
}

// TestDueWhileFull: delayed jobs whose time comes while the server is full run when there
// is room, and until then a worker that waits is told.
func TestDueWhileFull(t *testing.T) {
	t.Parallel()
	ts := startServer(t, smallStore)
	d := openURL(t, ts.url())
	q, other := declare(t, d), declare(t, d)
	const count = 100
	var late []*driver.Message
	for i := range count {
		m := message(fmt.Sprint("late-", i))
		m.Delay = 3 * time.Second
		if i%2 == 0 {
			m.DedupKey = m.ID // it comes in an atomic batch
		}
		late = append(late, m)
	}
	enqueue(t, d, q, late...)
	fill(t, d, other, 10<<10)
	fill(t, d, other, 1)
	end := time.NewTimer(9 * time.Second) // they are overdue then
	<-end.C
	c := consume(t, d, q, 30*time.Second)
	defer c.Close(testContext(t))
	ctx, cancel := context.WithTimeout(testContext(t), time.Minute)
	defer cancel()
	_, err := c.Receive(ctx, 10)
	refused(t, "a Receive while jobs are due that have no room", err, driver.ErrFull, "due")
	if depth, err := d.Depth(ctx, q); err != nil || depth.Due != count || depth.Scheduled != count {
		t.Errorf("depth is %+v, %v; want %d due", depth, err, count)
	}
	if err := d.DeleteQueue(ctx, other); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	for ran := 0; ran < count; {
		got, err := c.Receive(ctx, 100)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d jobs ran", ran, count)
		}
		if err != nil {
			t.Logf("receive: %v", err)
		}
		for _, g := range got {
			if err := settle(t, c, driver.Settlement{Delivery: g, Outcome: driver.OutcomeDone}); err != nil {
				t.Fatal(err)
			}
			ran++
		}
	}
	t.Logf("they ran within %s", time.Since(begun))
	waitDepth(t, d, q, driver.Depth{})
}
