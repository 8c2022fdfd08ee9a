package redis

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// importAll stores entries.
func importAll(t testing.TB, d *Driver, q string, entries ...*driver.Entry) {
	t.Helper()
	for i, r := range d.Import(testContext(t), q, entries) {
		if r.Err != nil || r.Duplicate {
			t.Fatalf("import %s: %+v", entries[i].ID, r)
		}
	}
}

// TestImport: jobs come out of List as they went in.
func TestImport(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	ctx := testContext(t)
	at := time.UnixMilli(1_700_000_000_123).UTC()
	entry := func(id string, state driver.State) *driver.Entry {
		m := message(id, level(driver.High), dedup("k"))
		m.EnqueuedAt, m.ExpiresAt, m.MaxAttempts, m.Timeout = at, at.Add(time.Hour), 7, time.Second
		m.Headers, m.ContentType = map[string]string{"a": "b"}, "text/plain"
		return &driver.Entry{Message: *m, State: state, Failures: 2, LastError: "oh", Bounces: 3, BouncedSince: at.Add(time.Minute), Deliveries: 9}
	}
	waiting, scheduled, dead := entry("w", driver.StateWaiting), entry("s", driver.StateScheduled), entry("d", driver.StateDead)
	scheduled.Delay = time.Hour
	dead.Reason, dead.DeadAt = driver.ReasonPoison, at.Add(time.Second)
	importAll(t, d, q, waiting, scheduled, dead, waiting)
	depth(t, d, q, driver.Depth{Waiting: 2, Scheduled: 1, Dead: 1})
	for _, want := range []*driver.Entry{waiting, scheduled, dead} {
		got, err := d.Find(ctx, q, want.ID)
		if err != nil {
			t.Fatal(err)
		}
		if in := time.Until(got.DueAt); want == scheduled && (in < 59*time.Minute || in > time.Hour+time.Second) {
			t.Errorf("it is due in %s", in)
		}
		w := *want
		w.Delay, w.DueAt = 0, got.DueAt
		if !reflect.DeepEqual(got, w) {
			t.Errorf("found %+v\nwant  %+v", got, w)
		}
	}
	// The key was not taken, and is not freed by a job that does not hold it.
	enqueue(t, d, q, message("w", dedup("k")))
	for range 2 {
		if err := d.Delete(ctx, q, "w"); err != nil { // the imported two, of a higher level
			t.Fatal(err)
		}
	}
	if r := d.Enqueue(ctx, q, []*driver.Message{message("x", dedup("k"))}); r == nil || r[0].DuplicateOf != "w" {
		t.Errorf("an imported job freed the key of another: %+v", r)
	}
	c := consume(t, d, q, time.Minute)
	done(t, c, receive(t, c, 1)...)
	if n, err := d.Redrive(ctx, q, driver.Selection{All: true}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if got := receive(t, c, 1)[0]; got.ID != "d" || got.Deliveries != 1 || got.Failures != 0 || got.Bounces != 0 || got.DedupKey != "k" {
		t.Errorf("received %+v", got)
	}
}

// TestImportedHistoryGoesOn: a job that ran elsewhere is handed out with its counts.
func TestImportedHistoryGoesOn(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	importAll(t, d, q, &driver.Entry{Message: *message("s", delay(20*time.Millisecond)), State: driver.StateScheduled, Failures: 4, LastError: "oh", Deliveries: 5},
		&driver.Entry{Message: *message("now"), State: driver.StateScheduled})
	c := consume(t, d, q, time.Minute)
	got := receive(t, c, 2)
	if got[0].ID != "now" || got[0].Deliveries != 1 {
		t.Errorf("received %+v", got[0])
	}
	if got[1].Deliveries != 6 || got[1].Failures != 4 || got[1].LastError != "oh" || got[1].Redeliveries != 0 {
		t.Errorf("received %+v", got[1])
	}
}

// TestImportIntoGroups: an imported job goes to the end of its group, and one that is
// held back holds its group up when its turn has come.
func TestImportIntoGroups(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	c := consume(t, d, q, time.Minute)
	in := func(id, grp string, state driver.State, by time.Duration) *driver.Entry {
		return &driver.Entry{Message: *message(id, group(grp), delay(by)), State: state}
	}
	start := time.Now()
	const long = 300 * time.Millisecond
	importAll(t, d, q, in("a1", "a", driver.StateScheduled, long), in("a2", "a", driver.StateWaiting, 0),
		in("b1", "b", driver.StateWaiting, 0), in("b2", "b", driver.StateScheduled, long), in("b3", "b", driver.StateWaiting, 0),
		in("dead", "b", driver.StateDead, 0))
	depth(t, d, q, driver.Depth{Waiting: 4, Scheduled: 1, Dead: 1})
	got := receive(t, c, 1)
	if got[0].ID != "b1" {
		t.Fatalf("received %v", ids(got))
	}
	done(t, c, got...)
	depth(t, d, q, driver.Depth{Waiting: 2, Scheduled: 2, Dead: 1})
	order := map[string]string{}
	for range 4 {
		got = receive(t, c, 1)
		order[got[0].Group] += got[0].ID
		if time.Since(start) < long {
			t.Errorf("%s came after %s", got[0].ID, time.Since(start))
		}
		done(t, c, got...)
	}
	if s := fmt.Sprint(order); s != "map[a:a1a2 b:b2b3]" {
		t.Errorf("the order is %s", s)
	}
	depth(t, d, q, driver.Depth{Dead: 1})
}

func TestImportRefuses(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	bad := map[string]driver.Entry{
		"no state":         {},
		"a waiting delay":  {State: driver.StateWaiting, Message: driver.Message{Delay: time.Second}},
		"a negative delay": {State: driver.StateScheduled, Message: driver.Message{Delay: -1}},
		"too long":         {State: driver.StateScheduled, Message: driver.Message{Delay: maxDelay + 1}},
		"level":            {State: driver.StateWaiting, Message: driver.Message{Level: 3}},
		"failures":         {State: driver.StateDead, Failures: -1},
		"bounces":          {State: driver.StateDead, Bounces: maxCount + 1},
		"deliveries":       {State: driver.StateDead, Deliveries: -1},
	}
	for name, e := range bad {
		e.ID, e.Kind = "x", "k"
		r := d.Import(testContext(t), q, []*driver.Entry{{Message: *message("good"), State: driver.StateWaiting}, &e})
		if len(r) != 2 || r[0].Err != nil || !errors.Is(r[1].Err, driver.ErrConfig) || driver.FateOf(r[1].Err) != driver.FateNotStored {
			t.Errorf("%s: %+v", name, r)
		}
	}
	depth(t, d, q, driver.Depth{Waiting: int64(len(bad))})
	if r := d.Import(testContext(t), q, nil); r != nil {
		t.Error(r)
	}
}
