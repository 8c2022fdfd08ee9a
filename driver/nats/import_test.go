package nats_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// imported is a job with a history, in a state.
func imported(id string, state driver.State) *driver.Entry {
	e := &driver.Entry{
		Message: *message(id), State: state,
		Failures: 2, LastError: "föl", Bounces: 1, BouncedSince: since, Deliveries: 7,
	}
	e.Headers, e.MaxAttempts, e.Timeout = map[string]string{"a": "b"}, 9, time.Minute
	if state == driver.StateDead {
		e.Reason, e.DeadAt = driver.ReasonAttempts, time.UnixMilli(1750000000001).UTC()
	}
	return e
}

// TestImport: jobs of every state are listed with the history that they came with, and
// handed out with it.
func TestImport(t *testing.T) {
	t.Parallel() // it waits for delays
	for _, parameters := range []string{"", "?group_commit=true"} {
		d := openURL(t, sharedURL(t)+parameters)
		ctx := testContext(t)
		q := declare(t, d)
		waiting, dead, late, soon := imported("waiting", driver.StateWaiting), imported("dead", driver.StateDead), imported("late", driver.StateScheduled), imported("soon", driver.StateScheduled)
		late.Delay, soon.Delay = time.Hour, time.Second
		before := time.Now()
		if r := d.Import(ctx, q, []*driver.Entry{waiting, dead, late, soon}); r != nil {
			t.Fatalf("import: %+v", r)
		}
		waitDepth(t, d, q, driver.Depth{Waiting: 1, Scheduled: 2, Dead: 1})
		for _, want := range []*driver.Entry{waiting, dead, late} {
			got, err := d.Find(ctx, q, want.ID)
			if err != nil {
				t.Fatal(err)
			}
			if !got.DueAt.IsZero() && got.DueAt.Before(before.Add(50*time.Minute)) {
				t.Errorf("%s is due at %v", want.ID, got.DueAt)
			}
			expect := *want
			expect.Delay, got.DueAt = 0, time.Time{}
			if !reflect.DeepEqual(got, expect) {
				t.Errorf("%s is %+v, want %+v", want.ID, got, expect)
			}
		}
		c := consume(t, d, q, 30*time.Second)
		for _, want := range []*driver.Entry{waiting, soon} {
			got := receive(t, c, 1)[0]
			if got.ID != want.ID || got.Failures != 2 || got.LastError != "föl" || got.Bounces != 1 || !got.BouncedSince.Equal(since) || got.Deliveries != 8 || got.Redeliveries != 0 {
				t.Errorf("received %+v", got)
			}
		}
		letters, _, err := d.DeadLetters(ctx, q, "", 10)
		if err != nil || len(letters) != 1 || letters[0].Deliveries != 7 || !letters[0].DeadAt.Equal(dead.DeadAt) || letters[0].Reason != driver.ReasonAttempts {
			t.Errorf("dead letters are %+v, %v", letters, err)
		}
		if n, err := d.Redrive(ctx, q, driver.Selection{All: true}); n != 1 || err != nil {
			t.Fatalf("redrove %d, %v", n, err)
		}
		if got := receive(t, c, 1)[0]; got.ID != "dead" || got.Failures != 0 || got.Deliveries != 1 {
			t.Errorf("redriven is %+v", got)
		}
	}
}

// TestImportNeitherChecksNorHoldsKeys: a key that another job holds does not keep an
// import out, an imported job takes no key, and it frees none.
func TestImportNeitherChecksNorHoldsKeys(t *testing.T) {
	d := openURL(t, sharedURL(t))
	ctx := testContext(t)
	q := declare(t, d)
	keyed := message("job")
	keyed.DedupKey = "held"
	enqueue(t, d, q, keyed)
	e, free := imported("job", driver.StateDead), imported("free", driver.StateDead)
	e.DedupKey, free.DedupKey = "held", "free"
	if r := d.Import(ctx, q, []*driver.Entry{e, free}); r != nil {
		t.Fatalf("import: %+v", r)
	}
	if n, err := d.Discard(ctx, q, driver.Selection{All: true}); n != 2 || err != nil {
		t.Fatalf("discarded %d, %v", n, err)
	}
	if r := d.Enqueue(ctx, q, []*driver.Message{keyed}); len(r) != 1 || !r[0].Duplicate {
		t.Errorf("the key that the first job holds: %+v", r)
	}
	second := message("second")
	second.DedupKey = "free"
	enqueue(t, d, q, second)
}

// TestImportRefuses: what cannot be is refused by itself, and the others are stored.
func TestImportRefuses(t *testing.T) {
	d := openURL(t, sharedURL(t))
	ctx := testContext(t)
	q := declare(t, d)
	bad := map[string]func(*driver.Entry){
		"the state 0":  func(e *driver.Entry) { e.State = 0 },
		"-1 failures":  func(e *driver.Entry) { e.Failures = -1 },
		"the delay 1s": func(e *driver.Entry) { e.Delay = time.Second },
	}
	for what, change := range bad {
		e := imported("bad", driver.StateWaiting)
		change(e)
		r := d.Import(ctx, q, []*driver.Entry{e, imported("good", driver.StateWaiting)})
		if len(r) != 2 || r[1].Err != nil {
			t.Fatalf("%s: %+v", what, r)
		}
		refused(t, what, r[0].Err, driver.ErrConfig, what)
	}
	waitDepth(t, d, q, driver.Depth{Waiting: int64(len(bad))})
}
