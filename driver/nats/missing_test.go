package nats_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/nats"
)

// streams lists the streams of a server, without the driver.
func streams(t *testing.T, url string) []string {
	t.Helper()
	js := rawJetStream(t, url)
	names := js.StreamNames(testContext(t))
	var list []string
	for name := range names.Name() {
		list = append(list, name)
	}
	if err := names.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// calls are all calls of a driver that need a queue, by what they do.
func calls(d *nats.Driver) map[string]func(ctx context.Context, q string) error {
	one := func(change func(*driver.Message)) []*driver.Message {
		m := message("job")
		change(m)
		return []*driver.Message{m}
	}
	first := func(results []driver.Result) error {
		if len(results) != 1 {
			return nil
		}
		return results[0].Err
	}
	ids := driver.Selection{IDs: []string{"job"}}
	list := func(state driver.State) func(ctx context.Context, q string) error {
		return func(ctx context.Context, q string) error { _, _, err := d.List(ctx, q, state, "", 10); return err }
	}
	return map[string]func(ctx context.Context, q string) error{
		"depth":        func(ctx context.Context, q string) error { _, err := d.Depth(ctx, q); return err },
		"dead letters": func(ctx context.Context, q string) error { _, _, err := d.DeadLetters(ctx, q, "", 10); return err },
		"redrive all": func(ctx context.Context, q string) error {
			_, err := d.Redrive(ctx, q, driver.Selection{All: true})
			return err
		},
		"redrive": func(ctx context.Context, q string) error { _, err := d.Redrive(ctx, q, ids); return err },
		"redrive no IDs": func(ctx context.Context, q string) error {
			_, err := d.Redrive(ctx, q, driver.Selection{IDs: []string{" "}})
			return err
		},
		"discard all": func(ctx context.Context, q string) error {
			_, err := d.Discard(ctx, q, driver.Selection{All: true})
			return err
		},
		"discard":        func(ctx context.Context, q string) error { _, err := d.Discard(ctx, q, ids); return err },
		"list waiting":   list(driver.StateWaiting),
		"list scheduled": list(driver.StateScheduled),
		"list dead":      list(driver.StateDead),
		"find":           func(ctx context.Context, q string) error { _, err := d.Find(ctx, q, "job"); return err },
		"delete":         func(ctx context.Context, q string) error { return d.Delete(ctx, q, "job") },
		"pause":          func(ctx context.Context, q string) error { return d.Pause(ctx, q) },
		"resume":         func(ctx context.Context, q string) error { return d.Resume(ctx, q) },
		"paused":         func(ctx context.Context, q string) error { _, err := d.Paused(ctx, q); return err },
		"purge":          func(ctx context.Context, q string) error { _, err := d.Purge(ctx, q); return err },
		"enqueue": func(ctx context.Context, q string) error {
			return first(d.Enqueue(ctx, q, one(func(*driver.Message) {})))
		},
		"enqueue with a delay": func(ctx context.Context, q string) error {
			return first(d.Enqueue(ctx, q, one(func(m *driver.Message) { m.Delay = time.Hour })))
		},
		"enqueue with a key": func(ctx context.Context, q string) error {
			return first(d.Enqueue(ctx, q, one(func(m *driver.Message) { m.DedupKey = "key" })))
		},
		"enqueue atomic": func(ctx context.Context, q string) error {
			return d.EnqueueAtomic(ctx, q, []*driver.Message{message("a"), message("b")})
		},
		"import": func(ctx context.Context, q string) error {
			return first(d.Import(ctx, q, []*driver.Entry{{Message: *message("job"), State: driver.StateWaiting}}))
		},
		"import a dead one": func(ctx context.Context, q string) error {
			return first(d.Import(ctx, q, []*driver.Entry{{Message: *message("job"), State: driver.StateDead, Reason: driver.ReasonPermanent}}))
		},
		"consume": func(ctx context.Context, q string) error {
			_, err := d.Consume(ctx, q, driver.ConsumeOptions{Lease: time.Minute, Prefetch: 1})
			return err
		},
	}
}

// TestMissingQueue: every call on a queue that never was, and on one that was deleted
// behind an open handle, says so and makes nothing.
func TestMissingQueue(t *testing.T) {
	ts := startServer(t)
	d, other := openURL(t, ts.url()), openURL(t, ts.url())
	ctx := testContext(t)
	anchor := declare(t, d) // so that the handle knows the server's time already
	if _, err := d.Depth(ctx, anchor); err != nil {
		t.Fatal(err)
	}
	deleted := declare(t, d)
	c := consume(t, d, deleted, time.Minute)
	if err := other.DeleteQueue(ctx, deleted); err != nil {
		t.Fatal(err)
	}
	for what, call := range calls(d) {
		for _, q := range []string{"never", deleted} {
			err := call(ctx, q)
			refused(t, what, err, driver.ErrNotFound, q)
			if err != nil && strings.Contains(err.Error(), "declare") {
				t.Errorf("%s: the error gives advice to whom it does not concern: %v", what, err)
			}
		}
	}
	_, err := c.Receive(ctx, 1)
	refused(t, "receive", err, driver.ErrNotFound, "does not exist")
	if err := d.DeleteQueue(ctx, "never"); err != nil {
		t.Errorf("deleting a queue that never was: %v", err)
	}
	if n, err := d.Redrive(ctx, "never", driver.Selection{}); n != 0 || err != nil {
		t.Errorf("redriving nothing: %d, %v", n, err)
	}
	if got := streams(t, ts.url()); !slices.Equal(got, []string{"batch-" + anchor}) {
		t.Errorf("the server has the streams %q", got)
	}
}

// TestDeliveriesOfADeletedQueue: they are lost, whatever they are settled with, also
// for a holder that has not noticed.
func TestDeliveriesOfADeletedQueue(t *testing.T) {
	url := sharedURL(t)
	d, other := openURL(t, url), openURL(t, url)
	declare(t, d)
	ctx := testContext(t)
	q := declare(t, d)
	enqueue(t, d, q, message("1"), message("2"), message("3"), message("4"), message("5"))
	c := consume(t, d, q, 30*time.Second)
	got := receive(t, c, 5)
	if err := other.DeleteQueue(ctx, q); err != nil {
		t.Fatal(err)
	}
	for i, outcome := range []driver.Outcome{driver.OutcomeDone, driver.OutcomeRetry, driver.OutcomeRelease, driver.OutcomeDead} {
		err := settle(t, c, driver.Settlement{Delivery: got[i], Outcome: outcome, Reason: driver.ReasonPermanent})
		if !errors.Is(err, driver.ErrLeaseLost) {
			t.Errorf("%s: %v", outcome, err)
		}
	}
	if errs := c.Extend(ctx, got[4:]); len(errs) != 1 || !errors.Is(errs[0], driver.ErrLeaseLost) {
		t.Errorf("extend: %v", errs)
	}
	if err := c.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
}
