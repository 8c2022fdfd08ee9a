package redis

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// listAll lists a queue page by page.
func listAll(t *testing.T, d *Driver, q string, s driver.State, max int) []driver.Entry {
	t.Helper()
	var all []driver.Entry
	cursor := ""
	for {
		page, next, err := d.List(testContext(t), q, s, cursor, max)
		if err != nil || len(page) > max {
			t.Fatal(len(page), err)
		}
		all = append(all, page...)
		if next == "" {
			return all
		}
		cursor = next
	}
}

// entryIDs are the jobs' IDs.
func entryIDs(entries []driver.Entry) (n []string) {
	for _, e := range entries {
		n = append(n, e.ID)
	}
	return n
}

func TestList(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	c := consume(t, d, q, time.Minute)
	enqueue(t, d, q, message("running", level(driver.Critical)))
	receive(t, c, 1)
	enqueue(t, d, q, message("low", level(driver.Low)), message("a"), message("b"), message("top", level(driver.Critical)),
		message("g1", group("g")), message("g2", group("g")), message("h1", group("h")), message("h2", group("h")),
		message("s3", delay(3*time.Hour)), message("s1", delay(time.Hour)), message("s2a", delay(2*time.Hour)), message("s2b", delay(2*time.Hour)))
	for _, max := range []int{1, 2, 3, 1000} {
		if s := fmt.Sprint(entryIDs(listAll(t, d, q, driver.StateWaiting, max))); s != "[top a b g1 h1 low g2 h2]" {
			t.Errorf("by %d: waiting are %s", max, s)
		}
		scheduled := listAll(t, d, q, driver.StateScheduled, max)
		if s := fmt.Sprint(entryIDs(scheduled)); s != "[s1 s2a s2b s3]" {
			t.Errorf("by %d: scheduled are %s", max, s)
		}
		if in := time.Until(scheduled[0].DueAt); in < 59*time.Minute || in > time.Hour+time.Second || scheduled[0].State != driver.StateScheduled {
			t.Errorf("s1 is due in %s", in)
		}
	}
	for _, cursor := range []string{"x", "9|", "1|x", "7|1 1", "1|1-1 1"} {
		if _, _, err := d.List(testContext(t), q, driver.StateWaiting, cursor, 1); !errors.Is(err, driver.ErrConfig) {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
	if _, _, err := d.DeadLetters(testContext(t), q, "nonsense", 1); !errors.Is(err, driver.ErrConfig) {
		t.Errorf("a wrong cursor: %v", err)
	}
}

// TestListWhileJobsGo: a job at the cursor that is gone loses no other.
func TestListWhileJobsGo(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	var ms []*driver.Message
	for i := range 300 {
		ms = append(ms, message(fmt.Sprint(i), delay(time.Hour)))
	}
	enqueue(t, d, q, ms...)
	seen := map[string]bool{}
	cursor := ""
	for {
		page, next, err := d.List(testContext(t), q, driver.StateScheduled, cursor, 7)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			if seen[e.ID] {
				t.Errorf("%s was seen twice", e.ID)
			}
			seen[e.ID] = true
		}
		if next == "" {
			break
		}
		if err := d.Delete(testContext(t), q, page[len(page)-1].ID); err != nil {
			t.Fatal(err)
		}
		cursor = next
	}
	if len(seen) != 300 {
		t.Errorf("saw %d of 300", len(seen))
	}
}

func TestFindAndDelete(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	ctx := testContext(t)
	c := consume(t, d, q, time.Minute)
	enqueue(t, d, q, message("running"), message("dead"))
	got := receive(t, c, 2)
	settle(t, c, driver.Settlement{Delivery: got[1], Outcome: driver.OutcomeDead, Reason: driver.ReasonPermanent, Error: "e", Failures: 1})
	var ms []*driver.Message
	for i := range 700 {
		ms = append(ms, message(fmt.Sprint("w", i), level(driver.Low)))
	}
	enqueue(t, d, q, ms...)
	enqueue(t, d, q, message("later", delay(time.Hour)), message("g1", group("g")), message("g2", group("g")), message("g3", group("g")))
	for id, want := range map[string]driver.State{"w0": driver.StateWaiting, "w699": driver.StateWaiting, "later": driver.StateScheduled, "dead": driver.StateDead, "g1": driver.StateWaiting, "g2": driver.StateWaiting} {
		e, err := d.Find(ctx, q, id)
		if err != nil || e.State != want || e.ID != id {
			t.Errorf("%s: %+v, %v", id, e, err)
		}
	}
	if e, _ := d.Find(ctx, q, "dead"); e.Reason != driver.ReasonPermanent || e.LastError != "e" || e.Failures != 1 || e.Deliveries != 1 {
		t.Errorf("found %+v", e)
	}
	for _, id := range []string{"running", "nobody"} {
		if _, err := d.Find(ctx, q, id); !errors.Is(err, driver.ErrNotFound) {
			t.Errorf("%s: %v", id, err)
		}
		if err := d.Delete(ctx, q, id); !errors.Is(err, driver.ErrNotFound) {
			t.Errorf("%s: %v", id, err)
		}
	}
	for _, id := range []string{"w699", "later", "dead", "g2", "g1"} {
		if err := d.Delete(ctx, q, id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		if err := d.Delete(ctx, q, id); !errors.Is(err, driver.ErrNotFound) {
			t.Errorf("%s again: %v", id, err)
		}
	}
	depth(t, d, q, driver.Depth{Waiting: 700, Running: 1})
	if got := receive(t, c, 1); got[0].ID != "g3" {
		t.Fatalf("received %v", ids(got))
	}
}
