package batch_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// optional are the options that are applied if the broker supports them, by the name
// that a receipt has for them.
func optional(q *batch.Queue[batch.Driver]) map[string]batch.Option[batch.Driver] {
	return map[string]batch.Option[batch.Driver]{
		"Priority":     batch.PriorityIfSupported(q, batch.High),
		"Delay":        batch.DelayIfSupported(q, time.Hour),
		"At":           batch.AtIfSupported(q, time.Now().Add(time.Hour)),
		"Unique":       batch.UniqueIfSupported(q, "key"),
		"UniqueWithin": batch.UniqueWithinIfSupported(q, "key-within", time.Minute),
		"Group":        batch.GroupIfSupported(q, "group"),
	}
}

// Where the broker supports it, an option is applied like its namesake, and nothing
// is said.
func TestOptionalIsAppliedWhereSupported(t *testing.T) {
	d := memory.New()
	q := batch.NewQueue[batch.Driver](d, "tasks")
	applied := map[string]func(batch.Entry) bool{
		"Priority":     func(e batch.Entry) bool { return e.Level == batch.High },
		"Delay":        func(e batch.Entry) bool { return e.State == batch.StateScheduled },
		"At":           func(e batch.Entry) bool { return e.State == batch.StateScheduled },
		"Unique":       func(e batch.Entry) bool { return e.DedupKey == "key" },
		"UniqueWithin": func(e batch.Entry) bool { return e.DedupKey == "key-within" },
		"Group":        func(e batch.Entry) bool { return e.Group == "group" },
	}
	for name, option := range optional(q) {
		receipt, err := q.Enqueue(t.Context(), task{}, batch.ID(q, name), option)
		if err != nil || receipt.NotApplied != nil {
			t.Errorf("%s: %+v, %v", name, receipt, err)
		}
		job, err := d.Find(t.Context(), "tasks", name)
		if err != nil || !applied[name](job) {
			t.Errorf("%s was not applied: %+v, %v", name, job, err)
		}
	}
}

// notApplied enqueues a job in every way that there is, and returns what the receipts
// say.
func notApplied(ctx context.Context, t *testing.T, q *batch.Queue[batch.Driver], options ...batch.Option[batch.Driver]) map[string][]string {
	t.Helper()
	said := make(map[string][]string)
	note := func(way string, results []batch.Result, err error) {
		if err != nil {
			t.Fatalf("%s: %v", way, err)
		}
		if results[0].NotApplied != nil {
			t.Errorf("%s: the job beside it has %q", way, results[0].NotApplied)
		}
		said[way] = results[1].NotApplied
	}
	receipt, err := q.Enqueue(ctx, task{}, options...)
	note("Enqueue", []batch.Result{{}, {Receipt: receipt}}, err)
	receipt, err = q.With(options...).Enqueue(ctx, task{}, options...)
	note("With", []batch.Result{{}, {Receipt: receipt}}, err)
	requests := []batch.Request[batch.Driver]{{Args: task{}}, {Args: task{}, Options: options}}
	results, err := q.EnqueueMany(ctx, requests)
	note("EnqueueMany", results, err)

	plainJob, err := q.Prepare(ctx, task{})
	if err != nil {
		t.Fatal(err)
	}
	prepared, err := q.Prepare(ctx, task{}, options...)
	if err != nil {
		t.Fatal(err)
	}
	form, err := json.Marshal(prepared)
	if err != nil {
		t.Fatal(err)
	}
	var read batch.Prepared
	if err := json.Unmarshal(form, &read); err != nil {
		t.Fatal(err)
	}
	results, err = q.EnqueuePrepared(ctx, plainJob, &read)
	note("EnqueuePrepared", results, err)
	return said
}

// Where it does not, the job is stored without it, and every receipt says so.
func TestReceiptSaysWhatWasNotApplied(t *testing.T) {
	through := func(next batch.Enqueuer) batch.Enqueuer { return next }
	for _, options := range [][]batch.QueueOption{nil, {batch.WithEnqueueMiddleware(through)}} {
		q := batch.NewQueue[batch.Driver](memory.NewPortable(), "tasks", options...)
		for name, option := range optional(q) {
			for way, said := range notApplied(t.Context(), t, q, option) {
				if !slices.Equal(said, []string{name}) {
					t.Errorf("%s: the receipt of %s says %q", name, way, said)
				}
			}
		}
		for way, said := range notApplied(t.Context(), t, q, batch.UniqueIfSupported(q, "key"), batch.PriorityIfSupported(q, batch.Low)) {
			if !slices.Equal(said, []string{"Unique", "Priority"}) {
				t.Errorf("two options: the receipt of %s says %q", way, said)
			}
		}
	}
}

// onlyAtomic is a driver whose one capability is to enqueue all or none.
type onlyAtomic struct {
	*memory.Portable
	all *memory.Driver
}

func (d onlyAtomic) AtomicLimit() int { return d.all.AtomicLimit() }

func (d onlyAtomic) EnqueueAtomic(ctx context.Context, queue string, messages []*driver.Message) error {
	return errors.Join(d.all.Declare(ctx, queue), d.all.EnqueueAtomic(ctx, queue, messages))
}

func TestAtomicReceiptsSayWhatWasNotApplied(t *testing.T) {
	q := batch.NewQueue[batch.AtomicEnqueuer](onlyAtomic{memory.NewPortable(), memory.New()}, "tasks")
	receipts, err := batch.EnqueueAtomic(t.Context(), q, []batch.Request[batch.AtomicEnqueuer]{
		{Args: task{}},
		{Args: task{}, Options: []batch.Option[batch.AtomicEnqueuer]{batch.PriorityIfSupported(q, batch.High)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if receipts[0].NotApplied != nil || !slices.Equal(receipts[1].NotApplied, []string{"Priority"}) {
		t.Errorf("the receipts are %+v", receipts)
	}
}

// What is wrong with an option is an error on every broker, so that a program finds
// out on the one that it is tested on.
func TestOptionalIsRefusedOutOfBoundsOnEveryBroker(t *testing.T) {
	for _, d := range []batch.Driver{memory.New(), memory.NewPortable()} {
		q := batch.NewQueue(d, "tasks")
		for name, options := range map[string][]batch.Option[batch.Driver]{
			"Priority":       {batch.PriorityIfSupported(q, batch.Critical+1)},
			"Delay":          {batch.DelayIfSupported(q, -1)},
			"Unique":         {batch.UniqueIfSupported(q, "a b")},
			"UniqueWithin":   {batch.UniqueWithinIfSupported(q, "key", time.Millisecond)},
			"its key":        {batch.UniqueWithinIfSupported(q, "", time.Minute)},
			"Group":          {batch.GroupIfSupported(q, "")},
			"Delay with At":  {batch.DelayIfSupported(q, 1), batch.AtIfSupported(q, time.Now())},
			"Group with At":  {batch.GroupIfSupported(q, "g"), batch.AtIfSupported(q, time.Now())},
			"Delay in group": {batch.DelayIfSupported(q, 1), batch.GroupIfSupported(q, "g")},
		} {
			if _, err := q.Enqueue(t.Context(), task{}, options...); !errors.Is(err, batch.ErrInvalid) {
				t.Errorf("%T: %s out of bounds: %v, want ErrInvalid", d, name, err)
			}
		}
		if there, err := q.Exists(t.Context()); there || err != nil {
			t.Errorf("%T: the queue exists (%v): something was sent", d, err)
		}
	}
}

// The receipt of a duplicate has no ID of a job that was not stored.
func TestReceiptOfADuplicate(t *testing.T) {
	for _, told := range []string{"", "first"} {
		d := newScripted()
		d.onEnqueue = func(int, []*driver.Message) ([]driver.Result, bool) {
			return []driver.Result{{Duplicate: true, DuplicateOf: told}}, true
		}
		q := batch.NewQueue(d, "tasks")
		receipt, err := q.Enqueue(t.Context(), task{}, batch.ID(q, "second"), batch.Unique(q, "key"))
		if err != nil || !receipt.Duplicate || receipt.ID != told {
			t.Errorf("%+v, %v: want the ID to be %q", receipt, err, told)
		}
	}
}
