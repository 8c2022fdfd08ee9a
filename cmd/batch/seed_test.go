package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// open opens a broker, until the test ends.
func open(t *testing.T, url string) batch.Driver {
	t.Helper()
	d, err := batch.Open[batch.Driver](testContext(t), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return d
}

// entry makes a job as it might have been on another queue.
func entry(id, kind string, state batch.State, change ...func(*batch.Entry)) batch.Entry {
	e := batch.Entry{State: state}
	e.ID, e.Kind, e.ContentType, e.Level = id, kind, "application/json", batch.Normal
	e.Body, e.Headers = []byte(`{"user_id":7}`), map[string]string{"tenant": "acme"}
	e.EnqueuedAt = time.Now().Add(-27 * time.Hour).UTC().Truncate(time.Millisecond)
	e.MaxAttempts = 25
	for _, f := range change {
		f(&e)
	}
	return e
}

// died makes a dead letter of it, that died some 26 hours ago: later, if it failed less often, so
// that the order is the same on every broker.
func died(reason string, failures int, err string) func(*batch.Entry) {
	return func(e *batch.Entry) {
		e.Reason, e.Failures, e.LastError, e.Deliveries = reason, failures, err, failures
		e.DeadAt = time.Now().Add(-26*time.Hour - time.Duration(failures)*time.Minute).UTC().Truncate(time.Millisecond)
	}
}

// in makes a job due in a while.
func in(d time.Duration) func(*batch.Entry) { return func(e *batch.Entry) { e.Delay = d } }

// seed fills a queue with two waiting jobs, a scheduled one and three dead letters.
func seed(t *testing.T, d batch.Driver, queue string) {
	t.Helper()
	put(t, d, queue,
		entry("0199a2c1", "email.welcome", batch.StateWaiting),
		entry("0199a2c2", "email.invoice", batch.StateWaiting),
		entry("0199a2c3", "email.welcome", batch.StateScheduled, in(90*time.Minute)),
		entry("0199a2c4", "email.welcome", batch.StateDead, died(driver.ReasonAttempts, 25, "dial tcp 192.0.2.7:25: connect: connection refused")),
		entry("0199a2c5", "email.invoice", batch.StateDead, died(driver.ReasonPermanent, 1, "no such customer: 4711")),
		entry("0199a2c6", "email.welcome", batch.StateDead, died(driver.ReasonExpired, 0, "")),
	)
}

// put stores jobs on a queue.
func put(t *testing.T, d batch.Driver, queue string, entries ...batch.Entry) {
	t.Helper()
	importer, ok := d.(batch.Importer)
	if !ok {
		t.Fatal("the driver cannot import")
	}
	if _, err := batch.Import(testContext(t), batch.NewQueue(importer, queue), entries); err != nil {
		t.Fatal(err)
	}
}

// dead makes so many dead letters.
func dead(n int) []batch.Entry {
	all := make([]batch.Entry, n)
	for i := range all {
		all[i] = entry(fmt.Sprintf("dead-%05d", i), "email.welcome", batch.StateDead, died(driver.ReasonAttempts, 25, "connection refused"))
	}
	return all
}

// depth counts the jobs of a queue.
func depth(t *testing.T, d batch.Driver, queue string) batch.Depth {
	t.Helper()
	q, err := batch.Admin(d, queue)
	if err != nil {
		t.Fatal(err)
	}
	got, err := q.Depth(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return got
}
