package redis

import (
	"errors"
	"fmt"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
)

func TestDedup(t *testing.T) {
	d := open(t, "dedup_window", "1s")
	q, other := queue(t, d), queue(t, d)
	ctx := testContext(t)
	c := consume(t, d, q, time.Minute)
	start := time.Now()
	r := d.Enqueue(ctx, q, []*driver.Message{message("a", dedup("k")), message("b", dedup("k")), message("c", dedup("l")), message("d")})
	for i, want := range []driver.Result{{}, {Duplicate: true, DuplicateOf: "a"}, {}, {}} {
		if r[i] != want {
			t.Errorf("result %d is %+v", i, r[i])
		}
	}
	got := receive(t, c, 3)
	if got[0].DedupKey != "k" {
		t.Errorf("the key is %q", got[0].DedupKey)
	}
	done(t, c, got...)
	if r := d.Enqueue(ctx, q, []*driver.Message{message("e", dedup("k"), delay(time.Hour))}); r == nil || r[0].DuplicateOf != "a" {
		t.Errorf("after the first ran: %+v", r)
	}
	enqueue(t, d, other, message("f", dedup("k")))
	eventually(t, "the window to end", func() bool {
		return d.Enqueue(ctx, q, []*driver.Message{message("g", dedup("k"))}) == nil
	})
	if took := time.Since(start); took < 990*time.Millisecond {
		t.Errorf("the window ended after %s", took)
	}
	// A queue that is deleted forgets.
	enqueue(t, d, q, message("h", dedup("m")))
	if err := d.DeleteQueue(ctx, q); err != nil {
		t.Fatal(err)
	}
	declare(t, d, q)
	enqueue(t, d, q, message("i", dedup("m")))
	if r := d.Enqueue(ctx, q, []*driver.Message{message("j", dedup("m"))}); r == nil || r[0].DuplicateOf != "i" {
		t.Errorf("after the queue was deleted: %+v", r)
	}
}

func TestAtomic(t *testing.T) {
	d, r := open(t), raw(t)
	q := queue(t, d)
	ctx := testContext(t)
	if err := d.EnqueueAtomic(ctx, q, nil); err != nil {
		t.Fatal(err)
	}
	var ms []*driver.Message
	for i := range batchSize {
		ms = append(ms, message(fmt.Sprint(i), func(m *driver.Message) {
			switch i % 4 {
			case 0:
				m.Delay = time.Hour
			case 1:
				m.DedupKey = m.ID
			case 2:
				m.Group = fmt.Sprint("g", i%3)
			case 3:
				m.Level = driver.Low
			}
		}))
	}
	if err := d.EnqueueAtomic(ctx, q, ms); err != nil {
		t.Fatal(err)
	}
	want := driver.Depth{Waiting: batchSize - batchSize/4, Scheduled: batchSize / 4}
	depth(t, d, q, want)
	for name, ms := range map[string][]*driver.Message{
		"of a stored job": {message("x"), message("y", dedup("1")), message("z", delay(time.Second), dedup("z"))},
		"within the call": {message("x", dedup("new")), message("y"), message("z", dedup("new"))},
	} {
		err := d.EnqueueAtomic(ctx, q, ms)
		if !errors.Is(err, driver.ErrDuplicate) || driver.FateOf(err) != driver.FateNotStored {
			t.Errorf("duplicate %s: %v", name, err)
		}
		depth(t, d, q, want)
	}
	// None of those that were refused took its key.
	if err := d.EnqueueAtomic(ctx, q, []*driver.Message{message("x", dedup("new")), message("y", dedup("z"))}); err != nil {
		t.Fatal(err)
	}
	// A damaged key in the way of the last of them.
	broken := queue(t, d)
	if err := r.Set(ctx, d.names(broken).prefix+"due", "x", 0).Err(); err != nil {
		t.Fatal(err)
	}
	err := d.EnqueueAtomic(ctx, broken, []*driver.Message{message("x"), message("y", delay(time.Hour))})
	if !errors.Is(err, driver.ErrConflict) {
		t.Fatal(err)
	}
	if n, _ := r.XLen(ctx, streamKey(d, broken, driver.Normal)).Result(); n != 0 {
		t.Fatalf("%d of a failed atomic enqueue were stored", n)
	}
}

func TestGroups(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	ctx := testContext(t)
	c := consume(t, d, q, time.Minute)
	enqueue(t, d, q, message("a1", group("a")), message("a2", group("a")), message("b1", group("b"), level(driver.Low)),
		message("a3", group("a"), level(driver.High)), message("free"), message("ab", group("a!")))
	depth(t, d, q, driver.Depth{Waiting: 6})
	got := receive(t, c, 4)
	if s := fmt.Sprint(ids(got)); s != "[a1 free ab b1]" {
		t.Fatal(s)
	}
	// The head fails: its group waits, others go on.
	settle(t, c, driver.Settlement{Delivery: got[0], Outcome: driver.OutcomeRetry, Failures: 1, Delay: 150 * time.Millisecond})
	done(t, c, got[1:]...)
	nothing(t, c, 60*time.Millisecond)
	got = receive(t, c, 1)
	if got[0].ID != "a1" || got[0].Failures != 1 {
		t.Fatalf("received %+v", got[0])
	}
	settle(t, c, driver.Settlement{Delivery: got[0], Outcome: driver.OutcomeRelease})
	if got = receive(t, c, 1); got[0].ID != "a1" {
		t.Fatalf("received %+v", got[0])
	}
	depth(t, d, q, driver.Depth{Running: 1, Waiting: 2})
	settle(t, c, driver.Settlement{Delivery: got[0], Outcome: driver.OutcomeDead, Reason: driver.ReasonAttempts})
	if got = receive(t, c, 1); got[0].ID != "a2" || got[0].Group != "a" {
		t.Fatalf("received %+v", got[0])
	}
	// A redriven job goes to the end of its group.
	if n, err := d.Redrive(ctx, q, driver.Selection{IDs: []string{"a1", "nobody"}}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	done(t, c, got...)
	got = receive(t, c, 1)
	if got[0].ID != "a3" || got[0].Level != driver.High {
		t.Fatalf("received %+v", got[0])
	}
	done(t, c, got...)
	got = receive(t, c, 1)
	if got[0].ID != "a1" || got[0].Deliveries != 1 || got[0].Failures != 0 || got[0].LastError != "" {
		t.Fatalf("received %+v", got[0])
	}
	done(t, c, got...)
	depth(t, d, q, driver.Depth{})
	if n := d.Enqueue(ctx, q, []*driver.Message{message("x", group("g"), delay(time.Second))}); !errors.Is(n[0].Err, driver.ErrUnsupported) {
		t.Fatal(n)
	}
}

// TestGroupSurvivesItsHolder: the head of a group lapses and stays the head.
func TestGroupSurvivesItsHolder(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	c := consume(t, d, q, 200*time.Millisecond)
	enqueue(t, d, q, message("a", group("g")), message("b", group("g")))
	receive(t, c, 1)
	got := receive(t, c, 1)
	if got[0].ID != "a" || got[0].Redeliveries != 1 {
		t.Fatalf("received %+v", got[0])
	}
	done(t, c, got...)
	if got = receive(t, c, 1); got[0].ID != "b" {
		t.Fatalf("received %+v", got[0])
	}
	done(t, c, got...)
}

// TestForeignProducer does what docs/wire-redis.md tells a producer in another
// language to do.
func TestForeignProducer(t *testing.T) {
	d, r := open(t), raw(t)
	q := queue(t, d)
	ctx := testContext(t)
	c := consume(t, d, q, time.Minute)
	ch := background(ctx, c, 1)
	eventually(t, "a blocked consumer", func() bool { return blocked(t, r, d, q) == 1 })
	p := r.TxPipeline()
	p.XAdd(ctx, &goredis.XAddArgs{Stream: "batch:{" + q + "}:high", Values: []any{"job", "x mail 1700000000000", "body", "{}", "h:lang", "php"}})
	p.RPush(ctx, "batch:{"+q+"}:wake", "1")
	if _, err := p.Exec(ctx); err != nil {
		t.Fatal(err)
	}
	got := await(t, ch)
	if got[0].Level != driver.High || got[0].Headers["lang"] != "php" || got[0].ContentType != "application/json" {
		t.Fatalf("received %+v", got[0])
	}
	// It keeps the level of its stream.
	settle(t, c, driver.Settlement{Delivery: got[0], Outcome: driver.OutcomeRetry, Failures: 1, Delay: time.Millisecond})
	if got = receive(t, c, 1); got[0].Level != driver.High {
		t.Fatalf("received %+v", got[0])
	}
	done(t, c, got...)
}
