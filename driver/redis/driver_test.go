package redis

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

func TestEverythingAfterClose(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	c := consume(t, d, q, time.Minute)
	enqueue(t, d, q, message("a"))
	got := receive(t, c, 1)
	done(t, c, got...)
	ch := background(testContext(t), c, 1)
	_ = d.DeleteQueue(testContext(t), q)
	closeDriver(t, d)
	if r := <-ch; !errors.Is(r.err, driver.ErrClosed) {
		t.Errorf("Receive: %v", r.err)
	}
	ctx := testContext(t)
	check := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, driver.ErrClosed) || driver.FateOf(err) != driver.FateNotStored {
			t.Errorf("%s after Close: %v", what, err)
		}
	}
	check("Declare", d.Declare(ctx, q))
	check("DeleteQueue", d.DeleteQueue(ctx, q))
	check("Enqueue", d.Enqueue(ctx, q, []*driver.Message{message("a")})[0].Err)
	check("EnqueueAtomic", d.EnqueueAtomic(ctx, q, []*driver.Message{message("a")}))
	_, err := d.Consume(ctx, q, driver.ConsumeOptions{Lease: time.Minute})
	check("Consume", err)
	_, err = d.Depth(ctx, q)
	check("Depth", err)
	_, _, err = d.DeadLetters(ctx, q, "", 1)
	check("DeadLetters", err)
	_, err = d.Redrive(ctx, q, driver.Selection{All: true})
	check("Redrive", err)
	_, err = d.Discard(ctx, q, driver.Selection{All: true})
	check("Discard", err)
	_, _, err = d.List(ctx, q, driver.StateWaiting, "", 1)
	check("List", err)
	_, err = d.Find(ctx, q, "a")
	check("Find", err)
	check("Delete", d.Delete(ctx, q, "a"))
	check("Pause", d.Pause(ctx, q))
	check("Resume", d.Resume(ctx, q))
	_, err = d.Paused(ctx, q)
	check("Paused", err)
	check("Settle", c.Settle(ctx, []driver.Settlement{{Delivery: got[0], Outcome: driver.OutcomeDone}})[0])
	check("Extend", c.Extend(ctx, got)[0])
	if d.Info().Version == "" {
		t.Error("Info is empty after Close")
	}
}

func TestEndedContextSendsNothing(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r := d.Enqueue(ctx, q, []*driver.Message{message("a")})
	if !errors.Is(r[0].Err, context.Canceled) || driver.FateOf(r[0].Err) != driver.FateNotStored {
		t.Fatal(r[0].Err)
	}
	depth(t, d, q, driver.Depth{})
	c := consume(t, d, q, time.Minute)
	if _, err := c.Receive(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := Open(ctx, testURL(t)); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
