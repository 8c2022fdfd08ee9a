package nats_test

import (
	"errors"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// since is a time of bounces, as a settlement has it.
var since = time.UnixMilli(1760000001234).UTC()

// TestBounces: what a retry or a dead letter is settled with is what the next one to
// look sees, through releases and lost holders, and a redrive begins anew.
func TestBounces(t *testing.T) {
	t.Parallel() // it waits for leases
	d := openURL(t, sharedURL(t))
	ctx := testContext(t)
	q := declare(t, d)
	enqueue(t, d, q, message("job"))
	c := consume(t, d, q, time.Second)
	end := func(g *driver.Delivery, s driver.Settlement) {
		t.Helper()
		s.Delivery = g
		if err := settle(t, c, s); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what string, bounces int, at time.Time, n int, bouncedSince time.Time) {
		t.Helper()
		if n != bounces || !bouncedSince.Equal(at) {
			t.Errorf("%s: %d bounces since %v, want %d since %v", what, n, bouncedSince, bounces, at)
		}
	}
	g := receive(t, c, 1)[0]
	want("a first delivery", 0, time.Time{}, g.Bounces, g.BouncedSince)
	end(g, driver.Settlement{Outcome: driver.OutcomeRetry, Bounces: 3, BouncedSince: since})
	g = receive(t, c, 1)[0]
	want("after a retry", 3, since, g.Bounces, g.BouncedSince)
	end(g, driver.Settlement{Outcome: driver.OutcomeRelease})
	g = receive(t, c, 1)[0]
	want("after a release", 3, since, g.Bounces, g.BouncedSince)
	g = receive(t, c, 1)[0] // its lease ended
	want("after a lost holder", 3, since, g.Bounces, g.BouncedSince)
	end(g, driver.Settlement{Outcome: driver.OutcomeRetry, Delay: time.Second, Bounces: 4, BouncedSince: since})
	page, _, err := d.List(ctx, q, driver.StateScheduled, "", 10)
	if err != nil || len(page) != 1 {
		t.Fatalf("scheduled are %+v, %v", page, err)
	}
	want("listed between retries", 4, since, page[0].Bounces, page[0].BouncedSince)
	g = receive(t, c, 1)[0]
	want("after a delayed retry", 4, since, g.Bounces, g.BouncedSince)
	end(g, driver.Settlement{Outcome: driver.OutcomeDead, Reason: driver.ReasonUnknownKind, Bounces: 5, BouncedSince: since})
	letters, _, err := d.DeadLetters(ctx, q, "", 10)
	if err != nil || len(letters) != 1 {
		t.Fatalf("dead letters are %+v, %v", letters, err)
	}
	want("a dead letter", 5, since, letters[0].Bounces, letters[0].BouncedSince)
	e, err := d.Find(ctx, q, "job")
	if err != nil {
		t.Fatal(err)
	}
	want("found dead", 5, since, e.Bounces, e.BouncedSince)
	if e.DeadAt.IsZero() || !e.DeadAt.Equal(letters[0].DeadAt) {
		t.Errorf("it died at %v and at %v", e.DeadAt, letters[0].DeadAt)
	}
	if n, err := d.Redrive(ctx, q, driver.Selection{All: true}); n != 1 || err != nil {
		t.Fatalf("redrove %d, %v", n, err)
	}
	g = receive(t, c, 1)[0]
	want("after a redrive", 0, time.Time{}, g.Bounces, g.BouncedSince)
}

// TestReleaseKeepsLostHolders: a release neither counts as a lost holder nor forgets
// those that there were, and every other outcome forgets them.
func TestReleaseKeepsLostHolders(t *testing.T) {
	t.Parallel() // it waits for a lease
	d := openURL(t, sharedURL(t))
	q := declare(t, d)
	first, second, lost, held := lapse(t, d, q)
	if err := settle(t, first, driver.Settlement{Delivery: lost, Outcome: driver.OutcomeRelease}); !errors.Is(err, driver.ErrLeaseLost) {
		t.Errorf("releasing what was lost: %v", err)
	}
	for round := range 3 {
		if held.Redeliveries != 1 || held.Deliveries != 2+round {
			t.Fatalf("after %d releases there are %d redeliveries of %d deliveries", round, held.Redeliveries, held.Deliveries)
		}
		if err := settle(t, second, driver.Settlement{Delivery: held, Outcome: driver.OutcomeRelease}); err != nil {
			t.Fatal(err)
		}
		held = receive(t, second, 1)[0]
	}
	if err := settle(t, second, driver.Settlement{Delivery: held, Outcome: driver.OutcomeRetry}); err != nil {
		t.Fatal(err)
	}
	if held = receive(t, second, 1)[0]; held.Redeliveries != 0 {
		t.Errorf("after a retry there are %d redeliveries", held.Redeliveries)
	}
}
