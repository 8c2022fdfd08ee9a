package redis

import (
	"fmt"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
)

func TestDeadLetters(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	ctx := testContext(t)
	c := consume(t, d, q, time.Minute)
	const n = 250
	var ms []*driver.Message
	for i := range n {
		ms = append(ms, message(fmt.Sprint(i), level(driver.Level(i%5-2)), func(m *driver.Message) { m.Headers = map[string]string{"i": fmt.Sprint(i)} }))
	}
	enqueue(t, d, q, ms...)
	var s []driver.Settlement
	for _, g := range receive(t, c, n) {
		s = append(s, driver.Settlement{Delivery: g, Outcome: driver.OutcomeDead, Reason: driver.ReasonAttempts, Failures: 25, Error: "no"})
	}
	settle(t, c, s...)
	depth(t, d, q, driver.Depth{Dead: n})
	checkDead(t, d, q, s)
	if got, err := d.Redrive(ctx, q, driver.Selection{}); got != 0 || err != nil {
		t.Fatal(got, err)
	}
	if got, err := d.Discard(ctx, q, driver.Selection{IDs: []string{"3", "249", "x"}}); got != 2 || err != nil {
		t.Fatal(got, err)
	}
	if got, err := d.Redrive(ctx, q, driver.Selection{IDs: []string{"7"}}); got != 1 || err != nil {
		t.Fatal(got, err)
	}
	if got := receive(t, c, 1); got[0].ID != "7" || got[0].Deliveries != 1 || got[0].Failures != 0 || got[0].LastError != "" || got[0].Level != 0 {
		t.Fatalf("received %+v", got[0])
	}
	if got, err := d.Redrive(ctx, q, driver.Selection{All: true}); got != n-3 || err != nil {
		t.Fatal(got, err)
	}
	depth(t, d, q, driver.Depth{Waiting: n - 3, Running: 1})
	got := receive(t, c, n-3)
	for i := 1; i < len(got); i++ {
		if got[i].Level > got[i-1].Level {
			t.Fatalf("levels were lost: %s has %d after %d", got[i].ID, got[i].Level, got[i-1].Level)
		}
	}
	if got, err := d.Discard(ctx, q, driver.Selection{All: true}); got != 0 || err != nil {
		t.Fatal(got, err)
	}
}

// checkDead checks that the dead letters, read page by page, are those that were
// settled.
func checkDead(t *testing.T, d *Driver, q string, s []driver.Settlement) {
	cursor, seen := "", 0
	for {
		page, next, err := d.DeadLetters(testContext(t), q, cursor, 33)
		if err != nil {
			t.Fatal(err)
		}
		for i := range page {
			if want := s[seen+i].Delivery; page[i].ID != want.ID || page[i].Level != want.Level || page[i].Headers["i"] != want.ID {
				t.Fatalf("dead letter %d is %+v", seen+i, page[i])
			}
		}
		seen += len(page)
		if next == "" {
			break
		}
		cursor = next
	}
	if seen != len(s) {
		t.Fatalf("saw %d", seen)
	}
}

// TestEmptyIDSelectsNothing: an entry that is no job has no name, and is not meant by an
// empty one.
func TestEmptyIDSelectsNothing(t *testing.T) {
	d, r := open(t), raw(t)
	ctx := testContext(t)
	q := queue(t, d)
	id, err := r.XAdd(ctx, &goredis.XAddArgs{Stream: d.names(q).prefix + "dead", Values: []string{"body", "no job"}}).Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, ids := range [][]string{{""}, {"x", ""}} {
		if n, err := d.Discard(ctx, q, driver.Selection{IDs: ids}); n != 0 || err != nil {
			t.Errorf("%q: %d are discarded, %v", ids, n, err)
		}
	}
	if n, err := d.Discard(ctx, q, driver.Selection{IDs: []string{"", id}}); n != 1 || err != nil {
		t.Errorf("by its entry ID: %d are discarded, %v", n, err)
	}
}
