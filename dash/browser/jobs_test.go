package browser_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// Welcome is the job of the story: a mail in a language.
type Welcome struct {
	UserID int    `json:"user_id"`
	Locale string `json:"locale"`
}

// Kind names the job on the wire.
func (Welcome) Kind() string { return "email.welcome" }

// unknownLocale is what jobs of the story die of.
const unknownLocale = `render: no template for the locale "de_DE": did you mean "de"?`

// A change makes a job another one.
type change func(*batch.Entry)

// entry makes a job that waits, as it might have been on another queue. It was enqueued a day ago, so that how long that is
// reads the same whenever it is read.
func entry(id, kind string, changes ...change) batch.Entry {
	e := batch.Entry{State: batch.StateWaiting}
	e.ID, e.Kind, e.ContentType, e.Level = id, kind, "application/json", batch.Normal
	e.Body, e.Headers = []byte(`{"user_id":4711,"locale":"de"}`), map[string]string{"tenant": "acme"}
	e.EnqueuedAt = ago(27 * time.Hour)
	e.MaxAttempts = 25
	for _, c := range changes {
		c(&e)
	}
	return e
}

// ago is a time before now.
func ago(d time.Duration) time.Time { return time.Now().Add(-d).UTC().Truncate(time.Millisecond) }

// died makes a dead letter of it.
func died(reason string, failures int, text string) change {
	return func(e *batch.Entry) {
		e.State, e.Reason, e.Failures, e.Deliveries, e.LastError = batch.StateDead, reason, failures, failures, text
		e.DeadAt = ago(26*time.Hour - time.Duration(failures)*time.Minute)
	}
}

// body gives it another body.
func body(text string) change { return func(e *batch.Entry) { e.Body = []byte(text) } }

// due makes it wait until a while has passed.
func due(d time.Duration) change {
	return func(e *batch.Entry) { e.State, e.Delay = batch.StateScheduled, d }
}

// seed stores what the tests look at: a queue with jobs of all kinds, in which one kind fails for one reason more than all
// others, and three more.
func seed(t *testing.T, d batch.Driver) {
	t.Helper()
	var emails []batch.Entry
	for i := range 6 {
		emails = append(emails, entry(fmt.Sprintf("welcome-%d", i), "email.welcome",
			body(fmt.Sprintf(`{"user_id":%d,"locale":"de_DE"}`, 4711+i)), died(driver.ReasonAttempts, 25, unknownLocale)))
	}
	emails = append(emails,
		entry("invoice-1", "email.invoice", died(driver.ReasonPermanent, 1, "no such customer: 815")),
		entry("invoice-2", "email.invoice", died(driver.ReasonPermanent, 1, "no such customer: 4242")),
		entry("digest-1", "email.digest", died(driver.ReasonExpired, 0, "")),
		entry("later-1", "email.digest", due(90*time.Minute)),
	)
	put(t, d, "emails", emails...)
	put(t, d, "reports", entry("report-1", "report.monthly"), entry("report-2", "report.monthly"), entry("report-3", "report.yearly", due(30*time.Hour)))
	put(t, d, "thumbnails")
	put(t, d, "webhooks", entry("hook-1", "webhook.deliver", died(driver.ReasonAttempts, 25, "dial tcp 192.0.2.7:443: connect: connection refused")))
}

// put stores jobs on a queue, which is there even if they are none.
func put(t *testing.T, d batch.Driver, queue string, entries ...batch.Entry) {
	t.Helper()
	importer, ok := d.(batch.Importer)
	if !ok {
		t.Fatal("the driver cannot import")
	}
	q := batch.NewQueue(importer, queue)
	if err := q.Declare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(entries) == 0 {
		return
	}
	if _, err := batch.Import(t.Context(), q, entries); err != nil {
		t.Fatal(err)
	}
}

// dead makes so many dead letters, of a few kinds and errors.
func dead(n int) []batch.Entry {
	all := make([]batch.Entry, n)
	for i := range all {
		all[i] = entry(fmt.Sprintf("dead-%06d", i), fmt.Sprintf("kind.%d", i%5), died(driver.ReasonAttempts, 25, fmt.Sprintf("error %c", 'a'+i%3)))
	}
	return all
}

// force stores jobs as no program of this library would: by the driver, which takes what others may have written.
func force(t *testing.T, d batch.Driver, queue string, entries []batch.Entry) {
	t.Helper()
	if err := d.Declare(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	all := make([]*driver.Entry, len(entries))
	for i := range entries {
		all[i] = &entries[i]
	}
	for i, r := range d.(driver.Importer).Import(t.Context(), queue, all) {
		if r.Err != nil {
			t.Fatalf("job %d: %v", i, r.Err)
		}
	}
}
