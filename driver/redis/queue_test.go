package redis

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

func TestDeclareConflicts(t *testing.T) {
	d, r := open(t), raw(t)
	q := queue(t, d)
	ctx := testContext(t)
	if err := d.Declare(ctx, q); err != nil {
		t.Fatal(err)
	}
	if err := r.HSet(ctx, metaKey(d, q), "format", "99").Err(); err != nil {
		t.Fatal(err)
	}
	if err := d.Declare(ctx, q); !errors.Is(err, driver.ErrConflict) {
		t.Fatal(err)
	}
	if err := d.DeleteQueue(ctx, q); err != nil {
		t.Fatal(err)
	}
	if err := r.Set(ctx, streamKey(d, q, driver.High), "x", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := d.Declare(ctx, q); !errors.Is(err, driver.ErrConflict) {
		t.Fatal(err)
	}
	if err := d.DeleteQueue(ctx, q); err != nil {
		t.Fatal(err)
	}
	if err := d.DeleteQueue(ctx, q); err != nil {
		t.Fatal(err)
	}
	if err := d.Declare(ctx, q); err != nil {
		t.Fatal(err)
	}
}

// TestQueueNamesDoNotMix: queues may be named with the characters of which keys are
// made.
func TestQueueNamesDoNotMix(t *testing.T) {
	d := open(t)
	names := []string{"}", "{", "{}", "a}b", "a%7Db", "a", "a:dedup", "%", "*"}
	ctx := testContext(t)
	for i, q := range names {
		q = fmt.Sprintf("%s%d", q, time.Now().UnixNano())
		names[i] = q
		t.Cleanup(func() { _ = d.DeleteQueue(testContext(t), q) })
		if err := d.Declare(ctx, q); err != nil {
			t.Fatalf("%q: %v", q, err)
		}
		enqueue(t, d, q, message("x", dedup("x")), message("y", delay(time.Hour)), message("z", group("g")))
	}
	for _, q := range names {
		depth(t, d, q, driver.Depth{Waiting: 2, Scheduled: 1})
	}
}
