package redis

import (
	"errors"
	"fmt"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
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

// TestDedupWithin: a key is remembered for as long as its first job says.
func TestDedupWithin(t *testing.T) {
	d, r := open(t), raw(t)
	q := queue(t, d)
	ctx := testContext(t)
	enqueue(t, d, q, message("short", dedup("short"), within(1500*time.Millisecond)), message("max", dedup("max"), within(defaultDedupWindow)), message("none", dedup("none")))
	if err := d.EnqueueAtomic(ctx, q, []*driver.Message{message("atomic", dedup("atomic"), within(time.Minute))}); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]time.Duration{"short": 1500 * time.Millisecond, "max": defaultDedupWindow, "none": defaultDedupWindow, "atomic": time.Minute} {
		ttl, err := r.PTTL(ctx, d.names(q).dedup(key)).Result()
		if err != nil || ttl > want || ttl < want-want/2 {
			t.Errorf("the key %s is remembered for %s, %v; want %s", key, ttl, err, want)
		}
	}
	for _, w := range []time.Duration{-1, 999 * time.Millisecond, defaultDedupWindow + 1} {
		ms := []*driver.Message{message("a"), message("x", dedup("x"), within(w))}
		if r := d.Enqueue(ctx, q, ms); len(r) != 2 || !errors.Is(r[0].Err, driver.ErrConfig) || driver.FateOf(r[1].Err) != driver.FateNotStored {
			t.Errorf("within %s: %+v", w, r)
		}
		if err := d.EnqueueAtomic(ctx, q, ms); !errors.Is(err, driver.ErrConfig) {
			t.Errorf("within %s: %v", w, err)
		}
	}
	depth(t, d, q, driver.Depth{Waiting: 4})
}

// TestRemovedJobsFreeTheirKeys, also in a cluster, where the script names the key.
func TestRemovedJobsFreeTheirKeys(t *testing.T) {
	for name, address := range map[string]func() string{
		"single":  func() string { return testURL(t) },
		"cluster": func() string { return clusterURL(brokers.RedisCluster(t, brokers.Redis8).Addrs()) },
	} {
		t.Run(name, func(t *testing.T) {
			d := openAt(t, address())
			for range 4 { // different nodes
				removedJobsFreeTheirKeys(t, d)
			}
		})
	}
}

func removedJobsFreeTheirKeys(t *testing.T, d *Driver) {
	q := queue(t, d)
	ctx := testContext(t)
	c := consume(t, d, q, time.Minute)
	taken := func(key string, want bool) {
		t.Helper()
		r := d.Enqueue(ctx, q, []*driver.Message{message("probe", dedup(key))})
		if got := r != nil && r[0].Duplicate; got != want || r != nil && r[0].Err != nil {
			t.Errorf("key %s: %+v", key, r)
		}
	}
	enqueue(t, d, q, message("running", dedup("running")), message("gone", dedup("gone")), message("kept", dedup("kept")))
	got := receive(t, c, 3)
	dead := driver.Settlement{Outcome: driver.OutcomeDead, Reason: driver.ReasonPermanent}
	for _, g := range got[1:] {
		dead.Delivery = g
		settle(t, c, dead)
	}
	enqueue(t, d, q, message("waiting", dedup("waiting")), message("later", dedup("later"), delay(time.Hour)),
		message("g1", group("g"), dedup("g1")), message("g2", group("g"), dedup("g2")))
	for _, id := range []string{"waiting", "later", "g2", "g1"} {
		taken(id, true)
		if err := d.Delete(ctx, q, id); err != nil {
			t.Fatal(err)
		}
		taken(id, false)
	}
	if n, err := d.Discard(ctx, q, driver.Selection{IDs: []string{"gone"}}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	taken("gone", false)
	for _, id := range []string{"running", "kept"} {
		taken(id, true) // it ran or will, or may be redriven
	}
	// The probes hold the keys of the others now, and have one ID.
	if n, err := d.Discard(ctx, q, driver.Selection{All: true}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	taken("kept", false)
	taken("running", true)
}

// TestKeyOfAnotherJob: a job whose key has ended and is another job's by now, even of the
// same ID, does not free it.
func TestKeyOfAnotherJob(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	ctx := testContext(t)
	for _, second := range []string{"other", "same"} {
		enqueue(t, d, q, message("same", dedup(second), within(time.Second), level(driver.High)))
		eventually(t, "the key to end", func() bool {
			return d.Enqueue(ctx, q, []*driver.Message{message(second, dedup(second))}) == nil
		})
		if err := d.Delete(ctx, q, "same"); err != nil { // the first, of a higher level
			t.Fatal(err)
		}
		if r := d.Enqueue(ctx, q, []*driver.Message{message("x", dedup(second))}); r == nil || r[0].DuplicateOf != second {
			t.Errorf("with the ID %s: %+v", second, r)
		}
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
	t.Parallel() // it waits for a lease, which a busy machine does not miss
	d := open(t)
	q := queue(t, d)
	c := consume(t, d, q, 2*time.Second)
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
