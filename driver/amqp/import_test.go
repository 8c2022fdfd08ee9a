package amqp

import (
	"errors"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// past is a time of another queue's life, to the millisecond.
func past(ago time.Duration) time.Time {
	return time.UnixMilli(time.Now().Add(-ago).UnixMilli()).UTC()
}

// entry makes an entry with a history.
func entry(id string, state driver.State, edit ...func(*driver.Entry)) *driver.Entry {
	e := &driver.Entry{
		Message: *message(id), State: state, Failures: 2, LastError: "e", Bounces: 3, BouncedSince: past(time.Hour), Deliveries: 7,
	}
	e.EnqueuedAt = past(2 * time.Hour)
	e.Headers = map[string]string{"h": "v"}
	for _, f := range edit {
		f(e)
	}
	return e
}

func TestImport(t *testing.T) {
	eachShape(t, func(t *testing.T, o opener) {
		d := o.open(t)
		q := queue(t, d)
		ctx := testContext(t)
		dead := func(e *driver.Entry) { e.Reason, e.DeadAt = driver.ReasonPermanent, past(time.Minute) }
		older := func(e *driver.Entry) { dead(e); e.DeadAt = past(time.Hour) }
		entries := []*driver.Entry{
			entry("waiting", driver.StateWaiting, func(e *driver.Entry) { e.Level = driver.High }),
			entry("later", driver.StateScheduled, func(e *driver.Entry) { e.Delay = time.Hour }),
			entry("soon", driver.StateScheduled, func(e *driver.Entry) { e.Delay = 200 * time.Millisecond }),
			entry("dead", driver.StateDead, dead), entry("older", driver.StateDead, older),
		}
		begun := time.Now()
		for i, r := range d.Import(ctx, q, entries) {
			if r.Err != nil || r.Duplicate {
				t.Fatalf("import %s: %+v", entries[i].ID, r)
			}
		}
		c := consume(t, d, q, 1)
		for _, want := range []*driver.Entry{entries[0], entries[2]} {
			got := receive(t, c)
			if got.ID != want.ID || got.Level != want.Level || !got.EnqueuedAt.Equal(want.EnqueuedAt) || got.LastError != "e" || got.Headers["h"] != "v" {
				t.Errorf("imported as %+v, received as %+v", want, got)
			}
			checkHistory(t, want.ID, got, counts{2, 3, 8, 0}, want.BouncedSince)
			if after := time.Since(begun); after < want.Delay {
				t.Errorf("%s came after %s, before its delay of %s", got.ID, after, want.Delay)
			}
			settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDone})
		}
		page, _, err := d.DeadLetters(ctx, q, "", 10)
		if err != nil || len(page) != 2 {
			t.Fatal(page, err)
		}
		for i, want := range []*driver.Entry{entries[4], entries[3]} {
			got := page[i]
			if got.ID != want.ID || got.Reason != want.Reason || !got.DeadAt.Equal(want.DeadAt) || got.Deliveries != 7 || got.Failures != 2 || got.Bounces != 3 || !got.BouncedSince.Equal(want.BouncedSince) {
				t.Errorf("imported as %+v, listed as %+v", want, got)
			}
		}
		if n, err := d.Redrive(ctx, q, driver.Selection{IDs: []string{"dead"}}); n != 1 || err != nil {
			t.Errorf("redrive an imported dead letter: %d, %v", n, err)
		}
		checkHistory(t, "redriven", receive(t, c), counts{deliveries: 1}, time.Time{})
	})
}

// What is out of bounds, or could not be kept, is refused, and its neighbours are
// not.
func TestImportRefuses(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	edit := func(f func(*driver.Entry)) *driver.Entry { return entry("a", driver.StateWaiting, f) }
	results := d.Import(testContext(t), q, []*driver.Entry{
		entry("good", driver.StateWaiting),
		edit(func(e *driver.Entry) { e.State = 0 }),
		edit(func(e *driver.Entry) { e.Delay = time.Second }),
		edit(func(e *driver.Entry) { e.State, e.Delay = driver.StateScheduled, maxDelay+1 }),
		edit(func(e *driver.Entry) { e.Body = make([]byte, maxBody+1) }),
		edit(func(e *driver.Entry) { e.Deliveries = -1 }),
		edit(func(e *driver.Entry) { e.Bounces = maxCount + 1 }),
		edit(func(e *driver.Entry) { e.Group = "g" }),
		edit(func(e *driver.Entry) { e.DedupKey = "k" }),
	})
	want := []error{
		nil, driver.ErrConfig, driver.ErrConfig, driver.ErrConfig, driver.ErrTooLarge, driver.ErrConfig, driver.ErrConfig, driver.ErrUnsupported, driver.ErrUnsupported,
	}
	for i, r := range results {
		if !errors.Is(r.Err, want[i]) || r.Err != nil && driver.FateOf(r.Err) != driver.FateNotStored {
			t.Errorf("import %d: %v, want %v", i, r.Err, want[i])
		}
	}
	if depth, err := d.Depth(testContext(t), q); err != nil || depth.Waiting != 1 || depth.Scheduled != 0 {
		t.Errorf("the queue has %+v (%v)", depth, err)
	}
}
