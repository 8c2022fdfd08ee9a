package sqs

import (
	"errors"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// entry is a job as it was elsewhere.
func importEntry(id string, state driver.State) *driver.Entry {
	m := job(id, 0)
	m.EnqueuedAt = m.EnqueuedAt.Add(-48 * time.Hour)
	m.Headers = map[string]string{"a": "b"}
	return &driver.Entry{
		Message: *m, State: state, Failures: 3, LastError: "no", Bounces: 2,
		BouncedSince: m.EnqueuedAt.Add(time.Hour), Deliveries: 7,
	}
}

// Jobs arrive in each state with their history, and go on from there.
func TestImport(t *testing.T) {
	both(t, func(t *testing.T, _ *fakeSQS, open func() testDriver) {
		d := open()
		defer closeAll(t, d)
		waiting, scheduled, dead := importEntry("waiting", driver.StateWaiting), importEntry("scheduled", driver.StateScheduled), importEntry("dead", driver.StateDead)
		scheduled.Delay = 20*time.Minute + 300*time.Millisecond
		dead.Reason, dead.DeadAt = driver.ReasonExpired, dead.EnqueuedAt.Add(2*time.Hour)
		later := importEntry("later", driver.StateDead)
		later.Reason, later.DeadAt = driver.ReasonPoison, dead.DeadAt.Add(time.Minute)
		begin := time.Now()
		for _, r := range d.Import(t.Context(), "q", []*driver.Entry{waiting, later, scheduled, dead}) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		c := consume(t, d, 30*time.Second)
		for _, want := range []*driver.Entry{waiting, scheduled} {
			got := receive(t, c)
			if late := time.Since(begin) - want.Delay; late < 0 || late > time.Second {
				t.Errorf("%s came %s after its time", want.ID, late)
			}
			if got.ID != want.ID || !got.EnqueuedAt.Equal(want.EnqueuedAt) || got.Headers["a"] != "b" || got.Failures != 3 || got.LastError != "no" ||
				got.Bounces != 2 || !got.BouncedSince.Equal(want.BouncedSince) || got.Deliveries != 8 || got.Redeliveries != 0 || got.Delay != 0 {
				t.Errorf("imported %+v, received %+v", want, got)
			}
			settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDone})
		}
		page, next, err := d.DeadLetters(t.Context(), "q", "", 10)
		if err != nil || next != "" || len(page) != 2 {
			t.Fatalf("dead letters: %v, %q, %v", page, next, err)
		}
		for i, want := range []*driver.Entry{dead, later} {
			got := page[i]
			if got.ID != want.ID || got.Reason != want.Reason || !got.DeadAt.Equal(want.DeadAt) || got.Failures != 3 || got.LastError != "no" ||
				got.Bounces != 2 || !got.BouncedSince.Equal(want.BouncedSince) || got.Deliveries != 7 || !got.EnqueuedAt.Equal(want.EnqueuedAt) {
				t.Errorf("imported %+v, listed %+v", want, got)
			}
		}
		if n, err := d.Redrive(t.Context(), "q", driver.Selection{All: true}); n != 2 || err != nil {
			t.Errorf("redrove %d: %v", n, err)
		}
		got := receive(t, c)
		if got.Failures != 0 || got.LastError != "" || got.Bounces != 0 || !got.BouncedSince.IsZero() || got.Deliveries != 1 {
			t.Errorf("redriven with a history: %+v", got)
		}
		settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDead, Reason: driver.ReasonPermanent, Failures: 1})
		died := time.Now()
		page, _, err = d.DeadLetters(t.Context(), "q", "", 10)
		if err != nil || len(page) != 1 || page[0].DeadAt.Sub(died).Abs() > time.Second {
			t.Errorf("died again: %+v, %v", page, err)
		}
	})
}

// What cannot be kept, or is no job of a core, is refused and nothing of it sent;
// its neighbours are stored.
func TestImportRefuses(t *testing.T) {
	f := newFake()
	d := f.open(t)
	defer closeAll(t, d)
	change := func(change func(*driver.Entry)) *driver.Entry {
		e := importEntry("bad", driver.StateWaiting)
		change(e)
		return e
	}
	entries := []*driver.Entry{
		change(func(e *driver.Entry) { e.Level = driver.High }), change(func(e *driver.Entry) { e.Group = "g" }), change(func(e *driver.Entry) { e.DedupKey = "k" }),
		change(func(e *driver.Entry) { e.State = 0 }), change(func(e *driver.Entry) { e.Delay = time.Second }),
		change(func(e *driver.Entry) { e.State, e.Delay = driver.StateScheduled, maxDelay+1 }),
		change(func(e *driver.Entry) { e.Failures = -1 }), change(func(e *driver.Entry) { e.Deliveries = maxCount + 1 }),
		importEntry("good", driver.StateWaiting),
	}
	results := d.Import(t.Context(), "q", entries)
	for i, want := range []error{driver.ErrUnsupported, driver.ErrUnsupported, driver.ErrUnsupported, driver.ErrConfig, driver.ErrConfig, driver.ErrConfig, driver.ErrConfig, driver.ErrConfig, nil} {
		if err := results[i].Err; !errors.Is(err, want) || err != nil && driver.FateOf(err) != driver.FateNotStored {
			t.Errorf("entry %d: %v, want %v", i, err, want)
		}
	}
	if n := len(f.queues["q"].messages); n != 1 {
		t.Errorf("%d messages were stored", n)
	}
}
