package nats_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/nats"
)

// keyed is a job with the dedup key "key".
func keyed(id string) *driver.Message {
	m := message(id)
	m.DedupKey = "key"
	return m
}

// isDuplicate demands that a job is one of the job with an ID, or of none if that is
// empty.
func isDuplicate(t *testing.T, d *nats.Driver, q, what string, m *driver.Message, of string) {
	t.Helper()
	r := d.Enqueue(testContext(t), q, []*driver.Message{m})
	if len(r) != 1 || r[0].Err != nil || r[0].Duplicate != (of != "") || r[0].DuplicateOf != of {
		t.Fatalf("%s: %+v, want a duplicate of %q", what, r, of)
	}
}

// TestRemovedJobFreesItsKey: whichever call removes it, and in whichever state.
func TestRemovedJobFreesItsKey(t *testing.T) {
	d := openURL(t, sharedURL(t))
	ctx := testContext(t)
	all := driver.Selection{All: true}
	die := func(q string) error {
		c := consume(t, d, q, 30*time.Second)
		// Through a release and a retry, which keep the hold on the key.
		for _, outcome := range []driver.Outcome{driver.OutcomeRelease, driver.OutcomeRetry, driver.OutcomeDead} {
			s := driver.Settlement{Delivery: receive(t, c, 1)[0], Outcome: outcome, Reason: driver.ReasonPermanent}
			if err := settle(t, c, s); err != nil {
				return err
			}
		}
		return nil
	}
	remove := func(q string) error { return d.Delete(ctx, q, "job") }
	for what, free := range map[string]func(q string) error{
		"delete a waiting one": remove,
		"delete a dead one":    func(q string) error { return errors.Join(die(q), remove(q)) },
		"delete a redriven one": func(q string) error {
			_, err := d.Redrive(ctx, q, all)
			return errors.Join(die(q), err, func() error { _, err := d.Redrive(ctx, q, all); return err }(), remove(q))
		},
		"purge": func(q string) error { _, err := d.Purge(ctx, q); return err },
		"discard": func(q string) error {
			err := die(q)
			_, e := d.Discard(ctx, q, driver.Selection{IDs: []string{"job"}})
			return errors.Join(err, e)
		},
		"delete queue": func(q string) error { return errors.Join(d.DeleteQueue(ctx, q), d.Declare(ctx, q)) },
	} {
		t.Run(what, func(t *testing.T) {
			q := declare(t, d)
			isDuplicate(t, d, q, "the first", keyed("job"), "")
			isDuplicate(t, d, q, "the second", keyed("second"), "job")
			if err := free(q); err != nil {
				t.Fatal(err)
			}
			isDuplicate(t, d, q, "after it was removed", keyed("third"), "")
			isDuplicate(t, d, q, "after that", keyed("fourth"), "third")
			if err := d.EnqueueAtomic(ctx, q, []*driver.Message{keyed("fifth")}); !errors.Is(err, driver.ErrDuplicate) {
				t.Errorf("an atomic enqueue after that: %v", err)
			}
		})
	}
	t.Run("delete a scheduled one", func(t *testing.T) {
		q := declare(t, d)
		late := keyed("job")
		late.Delay = time.Hour
		isDuplicate(t, d, q, "the first", late, "")
		if err := remove(q); err != nil {
			t.Fatal(err)
		}
		isDuplicate(t, d, q, "after it was removed", keyed("second"), "")
	})
}

// TestDoneKeepsTheKey: a job that has run to its end frees nothing.
func TestDoneKeepsTheKey(t *testing.T) {
	d := openURL(t, sharedURL(t))
	q := declare(t, d)
	enqueue(t, d, q, keyed("job"))
	c := consume(t, d, q, 30*time.Second)
	if err := settle(t, c, driver.Settlement{Delivery: receive(t, c, 1)[0], Outcome: driver.OutcomeDone}); err != nil {
		t.Fatal(err)
	}
	isDuplicate(t, d, q, "after it has run", keyed("second"), "job")
}

// TestDedupWithin: each key has a time of its own, from a second to the driver's
// window, and a job whose time is over frees nothing of the next one, although both
// have one ID.
func TestDedupWithin(t *testing.T) {
	d := openURL(t, sharedURL(t)+"?dedup_window=1h")
	ctx := testContext(t)
	q := declare(t, d)
	brief, long := keyed("job"), message("long")
	brief.DedupWithin = time.Second
	long.DedupKey, long.DedupWithin = "long", time.Minute
	enqueue(t, d, q, brief, long)
	isDuplicate(t, d, q, "at once", keyed("second"), "job")
	// Until its time is over; then one with the same ID takes the key.
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for taken := true; taken; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the key is never free")
		}
		r := d.Enqueue(ctx, q, []*driver.Message{keyed("job")})
		taken = len(r) == 1 && r[0].Duplicate
	}
	isDuplicate(t, d, q, "a key with a longer time", long, "long")
	if err := d.Delete(ctx, q, "job"); err != nil { // the first
		t.Fatal(err)
	}
	isDuplicate(t, d, q, "after a former holder was deleted", keyed("third"), "job")
	if err := d.Delete(ctx, q, "job"); err != nil { // the one that holds it
		t.Fatal(err)
	}
	isDuplicate(t, d, q, "after the holder was deleted", keyed("third"), "")
	for _, within := range []time.Duration{-1, time.Millisecond, 999 * time.Millisecond, time.Hour + time.Millisecond} {
		m := message("bad")
		m.DedupKey, m.DedupWithin = "bad", within
		r := d.Enqueue(ctx, q, []*driver.Message{m})
		if len(r) != 1 {
			t.Fatalf("%s: %+v", within, r)
		}
		refused(t, within.String(), r[0].Err, driver.ErrConfig, "bounds")
		refused(t, within.String(), d.EnqueueAtomic(ctx, q, []*driver.Message{m}), driver.ErrConfig, "bounds")
	}
}

// TestFreedKeyHasOneTaker: producers race for a key that is being freed: it is taken
// once for each time it was freed.
func TestFreedKeyHasOneTaker(t *testing.T) {
	d := openURL(t, sharedURL(t))
	ctx := testContext(t)
	q := declare(t, d)
	const rounds, producers = 20, 4
	for round := range rounds {
		owner := fmt.Sprint("owner-", round)
		isDuplicate(t, d, q, "the first of a round", keyed(owner), "")
		var stored atomic.Int32
		var all sync.WaitGroup
		freed := make(chan struct{})
		for p := range producers {
			all.Go(func() {
				for last := false; ; {
					r := d.Enqueue(ctx, q, []*driver.Message{keyed(fmt.Sprintf("job-%d-%d", round, p))})
					switch {
					case len(r) == 1 && r[0].Err != nil:
						t.Errorf("enqueue: %v", r[0].Err)
						return
					case len(r) == 0 || !r[0].Duplicate:
						stored.Add(1)
						return
					case last:
						return
					}
					select {
					case <-freed:
						last = true
					default:
					}
				}
			})
		}
		if err := d.Delete(ctx, q, owner); err != nil {
			t.Error(err)
		}
		close(freed)
		all.Wait()
		if n := stored.Load(); n != 1 {
			t.Fatalf("%d producers took a key that was freed once", n)
		}
		if n, err := d.Purge(ctx, q); n != 1 || err != nil {
			t.Fatalf("purged %d, %v", n, err)
		}
	}
}
