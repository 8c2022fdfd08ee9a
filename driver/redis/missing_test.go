package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
)

// keysOf are the keys of a queue, in all nodes, by their ends.
func keysOf(t testing.TB, c goredis.UniversalClient, d *Driver, q string) []string {
	t.Helper()
	prefix := d.names(q).prefix
	var keys []string
	nodes(t, c, func(node *goredis.Client) {
		walk := node.Scan(testContext(t), 0, prefix+"*", 1000).Iterator()
		for walk.Next(testContext(t)) {
			keys = append(keys, strings.TrimPrefix(walk.Val(), prefix))
		}
		if err := walk.Err(); err != nil {
			t.Fatal(err)
		}
	})
	slices.Sort(keys)
	return keys
}

// onMissing are the calls that a queue has to exist for.
func onMissing(ctx context.Context, d *Driver, q string) map[string]error {
	_, depth := d.Depth(ctx, q)
	_, _, dead := d.DeadLetters(ctx, q, "", 10)
	_, redrive := d.Redrive(ctx, q, driver.Selection{All: true})
	_, discard := d.Discard(ctx, q, driver.Selection{IDs: []string{"x"}})
	_, _, waiting := d.List(ctx, q, driver.StateWaiting, "", 10)
	_, _, scheduled := d.List(ctx, q, driver.StateScheduled, "", 10)
	_, find := d.Find(ctx, q, "x")
	_, paused := d.Paused(ctx, q)
	_, purge := d.Purge(ctx, q)
	return map[string]error{
		"Depth": depth, "DeadLetters": dead, "Redrive": redrive, "Discard": discard,
		"List waiting": waiting, "List scheduled": scheduled, "Find": find, "Delete": d.Delete(ctx, q, "x"),
		"Pause": d.Pause(ctx, q), "Resume": d.Resume(ctx, q), "Paused": paused, "Purge": purge,
		"Enqueue":       d.Enqueue(ctx, q, []*driver.Message{message("x")})[0].Err,
		"Enqueue later": d.Enqueue(ctx, q, []*driver.Message{message("x", delay(time.Hour), dedup("k"))})[0].Err,
		"EnqueueAtomic": d.EnqueueAtomic(ctx, q, []*driver.Message{message("x"), message("y", group("g"))}),
		"Import":        d.Import(ctx, q, []*driver.Entry{{Message: *message("x"), State: driver.StateDead}})[0].Err,
	}
}

// TestMissingQueue: what needs a queue says that there is none, and makes nothing.
func TestMissingQueue(t *testing.T) {
	d, r := open(t), raw(t)
	ctx := testContext(t)
	never := fmt.Sprintf("never-%d", time.Now().UnixNano())
	deleted := queue(t, d)
	enqueue(t, d, deleted, message("a"), message("b", delay(time.Hour)), message("c", group("g")), message("e", dedup("k")))
	if err := d.Pause(ctx, deleted); err != nil {
		t.Fatal(err)
	}
	if err := d.DeleteQueue(ctx, deleted); err != nil {
		t.Fatal(err)
	}
	for q, left := range map[string]string{never: "[]", deleted: "[dedup:k deleted]"} {
		for name, err := range onMissing(ctx, d, q) {
			if !errors.Is(err, driver.ErrNotFound) || driver.FateOf(err) != driver.FateNotStored {
				t.Errorf("%s: %v, %s", name, err, driver.FateOf(err))
			} else if !strings.HasSuffix(err.Error(), ": not found: the queue does not exist") {
				t.Errorf("%s says %q", name, err)
			}
		}
		c := consume(t, d, q, minLease)
		if _, err := c.Receive(ctx, 10); !errors.Is(err, driver.ErrNotFound) {
			t.Errorf("Receive: %v", err)
		}
		if cursor, first := c.recoverLapsed(time.Second, ""); first {
			t.Errorf("leases were looked after, %q", cursor)
		}
		if err := d.DeleteQueue(ctx, q); err != nil {
			t.Errorf("DeleteQueue: %v", err)
		}
		if err := c.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
		if keys := fmt.Sprint(keysOf(t, r, d, q)); keys != left {
			t.Errorf("the server has %s, not %s", keys, left)
		}
	}
}

// TestQueueDeletedBehindAConsumer: the consumer says so, and goes on when the queue is
// declared again.
func TestQueueDeletedBehindAConsumer(t *testing.T) {
	d, r := open(t), raw(t)
	other := open(t)
	q := queue(t, d)
	ctx := testContext(t)
	c := consume(t, d, q, time.Minute)
	enqueue(t, d, q, message("a", dedup("k")))
	held := receive(t, c, 1)
	waiting := []chan received{background(ctx, c, 1), background(ctx, c, 1)}
	eventually(t, "a blocked consumer", func() bool { return blocked(t, r, d, q) == 1 })
	if err := other.DeleteQueue(ctx, q); err != nil {
		t.Fatal(err)
	}
	for _, o := range []driver.Outcome{driver.OutcomeDone, driver.OutcomeRetry, driver.OutcomeRelease, driver.OutcomeDead} {
		if errs := c.Settle(ctx, []driver.Settlement{{Delivery: held[0], Outcome: o}}); errs == nil || !errors.Is(errs[0], driver.ErrLeaseLost) {
			t.Errorf("settled as %s: %v", o, errs)
		}
	}
	for _, ch := range waiting {
		if got := <-ch; !errors.Is(got.err, driver.ErrNotFound) {
			t.Errorf("received %v, %v", ids(got.got), got.err)
		}
	}
	if err := d.Enqueue(ctx, q, []*driver.Message{message("lost")})[0].Err; !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("enqueued: %v", err)
	}
	declare(t, other, q)
	enqueue(t, d, q, message("b", dedup("k")))
	if got := receive(t, c, 1); got[0].ID != "b" {
		t.Errorf("received %v", ids(got))
	}
}

// TestQueueOfAnOlderVersion: what an older version declared and filled exists, and its
// jobs have a history of zeros where they tell none.
func TestQueueOfAnOlderVersion(t *testing.T) {
	d, r := open(t), raw(t)
	q := fmt.Sprintf("old-%d", time.Now().UnixNano())
	ctx := testContext(t)
	t.Cleanup(func() { _ = d.DeleteQueue(testContext(t), q) })
	prefix := "batch:{" + q + "}:"
	p := r.TxPipeline()
	p.HSet(ctx, prefix+"meta", "format", "1")
	p.XAdd(ctx, &goredis.XAddArgs{Stream: prefix + "normal", Values: []any{"job", "old mail 1700000000000", "body", "{}", "dk", "k", "n", "3", "r", "1"}})
	p.Set(ctx, prefix+"dedup:k", "1700000000000000 old", time.Hour)
	if _, err := p.Exec(ctx); err != nil {
		t.Fatal(err)
	}
	c := consume(t, d, q, time.Minute)
	got := receive(t, c, 1)
	if g := got[0]; g.Bounces != 0 || !g.BouncedSince.IsZero() || g.Deliveries != 4 || g.Redeliveries != 1 {
		t.Errorf("received %+v", g)
	}
	settle(t, c, driver.Settlement{Delivery: got[0], Outcome: driver.OutcomeDead, Reason: driver.ReasonPermanent})
	if n, err := d.Discard(ctx, q, driver.Selection{All: true}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	enqueue(t, d, q, message("new", dedup("k")))
}
