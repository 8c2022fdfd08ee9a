package redis

import (
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// TestBounces: they are stored as a settlement says, and kept by what settles nothing.
func TestBounces(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	ctx := testContext(t)
	since := time.UnixMilli(1_700_000_000_123).UTC()
	gone, c := consume(t, d, q, minLease), consume(t, d, q, time.Minute)
	enqueue(t, d, q, message("a"))
	got := receive(t, c, 1)
	if got[0].Bounces != 0 || !got[0].BouncedSince.IsZero() {
		t.Fatalf("received %+v", got[0])
	}
	bounce := driver.Settlement{Delivery: got[0], Outcome: driver.OutcomeRetry, Delay: 10 * time.Millisecond, Bounces: 3, BouncedSince: since}
	settle(t, c, bounce)
	check := func(what string, bounces int, since time.Time) {
		t.Helper()
		if got[0].Bounces != bounces || !got[0].BouncedSince.Equal(since) || got[0].BouncedSince.Location() != time.UTC {
			t.Fatalf("after %s: %+v", what, got[0])
		}
	}
	got = receive(t, c, 1)
	check("a retry", 3, since)
	settle(t, c, driver.Settlement{Delivery: got[0], Outcome: driver.OutcomeRelease})
	got = receive(t, gone, 1)
	check("a release", 3, since)
	if err := gone.Close(ctx); err != nil {
		t.Fatal(err)
	}
	got = receive(t, c, 1)
	check("a lost holder", 3, since)
	settle(t, c, driver.Settlement{Delivery: got[0], Outcome: driver.OutcomeRetry, Failures: 1})
	got = receive(t, c, 1)
	check("a retry that counts none", 0, time.Time{})
	settle(t, c, driver.Settlement{Delivery: got[0], Outcome: driver.OutcomeDead, Reason: driver.ReasonUnknownKind, Bounces: 4, BouncedSince: since})
	dead, _, err := d.DeadLetters(ctx, q, "", 1)
	if err != nil || dead[0].Bounces != 4 || !dead[0].BouncedSince.Equal(since) {
		t.Fatalf("dead letters are %+v, %v", dead, err)
	}
	e, err := d.Find(ctx, q, "a")
	if err != nil || e.Bounces != 4 || !e.BouncedSince.Equal(since) || !e.DeadAt.Equal(dead[0].DeadAt) || e.DeadAt.IsZero() {
		t.Fatalf("found %+v, %v", e, err)
	}
	if n, err := d.Redrive(ctx, q, driver.Selection{All: true}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	got = receive(t, c, 1)
	check("a redrive", 0, time.Time{})
	settle(t, c, driver.Settlement{Delivery: got[0], Outcome: driver.OutcomeRetry, Delay: time.Hour, Bounces: 1, BouncedSince: since})
	if e, err := d.Find(ctx, q, "a"); err != nil || e.State != driver.StateScheduled || e.Bounces != 1 || !e.BouncedSince.Equal(since) {
		t.Fatalf("found %+v, %v", e, err)
	}
}

// TestReleaseCountsNoHolder: a release neither counts a lost holder nor forgets one.
func TestReleaseCountsNoHolder(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	gone, c := consume(t, d, q, minLease), consume(t, d, q, time.Minute)
	enqueue(t, d, q, message("a"))
	receive(t, gone, 1)
	if err := gone.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	for n := range 4 {
		got := receive(t, c, 1)
		if got[0].Redeliveries != 1 || got[0].Deliveries != 2+n {
			t.Fatalf("after %d releases: %+v", n, got[0])
		}
		settle(t, c, driver.Settlement{Delivery: got[0], Outcome: driver.OutcomeRelease})
	}
	got := receive(t, c, 1)
	settle(t, c, driver.Settlement{Delivery: got[0], Outcome: driver.OutcomeRetry, Failures: 1})
	if got = receive(t, c, 1); got[0].Redeliveries != 0 {
		t.Fatalf("after a retry: %+v", got[0])
	}
}
