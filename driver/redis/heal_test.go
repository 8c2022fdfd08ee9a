package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/late"
)

// blocked counts the BLPOPs that are under way at the server.
func blocked(t testing.TB, c goredis.UniversalClient, d *Driver, q string) int {
	n := 0
	nodes(t, c, func(node *goredis.Client) {
		list, err := node.ClientList(testContext(t)).Result()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(list) {
			if strings.Contains(line, "cmd=blpop") && strings.Contains(line, "flags=b") {
				n++
			}
		}
	})
	return n
}

// received is what a Receive returned.
type received struct {
	got []*driver.Delivery
	err error
}

// background calls Receive in a goroutine.
func background(ctx context.Context, c *consumer, max int) chan received {
	ch := make(chan received, 1)
	go func() {
		got, err := c.Receive(ctx, max)
		ch <- received{got, err}
	}()
	return ch
}

// loaded is by how many times the lateness of the machine a few calls of a server may be late that runs on it.
const loaded = 10 * late.Steps

// soon fails the test if f takes so long that it has waited for a BLPOP to end by itself.
func soon(t testing.TB, what string, f func()) {
	t.Helper()
	begin := time.Now()
	lateness := late.During(f)
	if took := time.Since(begin); took > blockFor/2+loaded*lateness {
		t.Errorf("%s took %s, on a machine that is late by %s", what, took, lateness)
	}
}

// await waits for what background received.
func await(t testing.TB, ch chan received) []*driver.Delivery {
	t.Helper()
	select {
	case r := <-ch:
		if r.err != nil {
			t.Fatalf("receive: %v", r.err)
		}
		return r.got
	case <-time.After(bound):
		t.Fatalf("no job within %s", bound)
		return nil
	}
}

func TestWipedServerHeals(t *testing.T) {
	d, r := open(t), raw(t)
	q := queue(t, d)
	c := consume(t, d, q, time.Minute)
	enqueue(t, d, q, message("a"), message("b"))
	held := receive(t, c, 1)
	ch := background(testContext(t), consume(t, d, q, time.Minute), 10)
	await(t, ch)

	wipe(t, r, d, q)
	errs := c.Settle(testContext(t), []driver.Settlement{{Delivery: held[0], Outcome: driver.OutcomeDone}})
	if errs == nil || !errors.Is(errs[0], driver.ErrLeaseLost) {
		t.Fatalf("settled a wiped job: %v", errs)
	}
	if errs := c.Extend(testContext(t), held); errs == nil || !errors.Is(errs[0], driver.ErrLeaseLost) {
		t.Fatalf("extended a wiped job: %v", errs)
	}
	errs = c.Settle(testContext(t), []driver.Settlement{{Delivery: held[0], Outcome: driver.OutcomeRetry}, {Delivery: held[0], Outcome: driver.OutcomeDead}})
	if !errors.Is(errs[0], driver.ErrLeaseLost) || !errors.Is(errs[1], driver.ErrLeaseLost) {
		t.Fatalf("settled a wiped job: %v", errs)
	}

	if _, err := c.Receive(testContext(t), 1); !errors.Is(err, driver.ErrNotFound) {
		t.Fatalf("received from a wiped queue: %v", err)
	}
	declare(t, d, q)

	// While one waits, wipe again, declare, then go on as if nothing had happened.
	ch = background(testContext(t), c, 10)
	eventually(t, "a blocked consumer", func() bool { return blocked(t, r, d, q) > 0 })
	wipe(t, r, d, q)
	declare(t, d, q)
	enqueue(t, d, q, message("c"))
	got := await(t, ch)
	if len(got) != 1 || got[0].ID != "c" {
		t.Fatalf("received %v", ids(got))
	}
	done(t, c, got...)
	enqueue(t, d, q, message("d", delay(20*time.Millisecond)), message("e", group("g")))
	done(t, c, receive(t, c, 2)...)
	depth(t, d, q, driver.Depth{})
}

func TestDestroyedGroupHeals(t *testing.T) {
	d, r := open(t), raw(t)
	q := queue(t, d)
	c := consume(t, d, q, time.Minute)
	enqueue(t, d, q, message("a"))
	held := receive(t, c, 1)
	if err := r.XGroupDestroy(testContext(t), streamKey(d, q, driver.Normal), groupName).Err(); err != nil {
		t.Fatal(err)
	}
	enqueue(t, d, q, message("b"))
	if got := ids(receive(t, c, 2)); fmt.Sprint(got) != "[a b]" {
		t.Fatalf("received %v", got)
	}
	_ = held
}

func TestKilledConnectionHeals(t *testing.T) {
	d, r := open(t), raw(t)
	q := queue(t, d)
	c := consume(t, d, q, time.Minute)
	for i := range 3 {
		ch := background(testContext(t), c, 1)
		eventually(t, "a blocked consumer", func() bool { return blocked(t, r, d, q) > 0 })
		killed := 0
		nodes(t, r, func(node *goredis.Client) {
			list, _ := node.ClientList(testContext(t)).Result()
			for line := range strings.Lines(list) {
				if strings.Contains(line, "cmd=blpop") {
					id := strings.TrimPrefix(strings.Fields(line)[0], "id=")
					node.ClientKillByFilter(testContext(t), "ID", id)
					killed++
				}
			}
		})
		if killed == 0 {
			t.Fatal("there was nothing to kill")
		}
		eventually(t, "a blocked consumer", func() bool { return blocked(t, r, d, q) > 0 })
		enqueue(t, d, q, message(fmt.Sprint(i)))
		done(t, c, await(t, ch)...)
	}
}

// TestBodyGone: an entry that another program deleted or trimmed stays in the
// pending list, from where Redis hands it out without fields.
func TestBodyGone(t *testing.T) {
	t.Parallel() // it waits for a lease, which a busy machine does not miss
	d, r := open(t), raw(t)
	q := queue(t, d)
	ctx := testContext(t)
	c := consume(t, d, q, 500*time.Millisecond)
	key := streamKey(d, q, driver.Normal)

	enqueue(t, d, q, message("done"), message("retry"), message("extend"), message("lapse"))
	got := receive(t, c, 4)
	if err := r.XTrimMaxLen(ctx, key, 0).Err(); err != nil {
		t.Fatal(err)
	}
	errs := c.Extend(ctx, got[2:3])
	if errs == nil || !errors.Is(errs[0], driver.ErrLeaseLost) {
		t.Fatalf("extended a job without a body: %v", errs)
	}
	if errs := c.Settle(ctx, []driver.Settlement{{Delivery: got[0], Outcome: driver.OutcomeDone}}); errs != nil {
		t.Fatal(errs)
	}
	errs = c.Settle(ctx, []driver.Settlement{{Delivery: got[1], Outcome: driver.OutcomeRetry, Failures: 1}})
	if errs == nil || !errors.Is(errs[0], driver.ErrLeaseLost) {
		t.Fatalf("retried a job without a body: %v", errs)
	}
	eventuallyIn(t, 3*bound, "the pending list to be empty", func() bool {
		p, err := r.XPending(ctx, key, groupName).Result()
		return err == nil && p.Count == 0
	})
	enqueue(t, d, q, message("next"))
	done(t, c, receive(t, c, 1)...)
	depth(t, d, q, driver.Depth{})
}

// TestOrphanIsFound: when another program deletes a consumer, its pending list goes
// with it. The entry stays in the stream, and nothing hands it out.
func TestOrphanIsFound(t *testing.T) {
	d, r := open(t), raw(t)
	q := queue(t, d)
	c := consume(t, d, q, time.Second)
	enqueue(t, d, q, message("a"), message("b"))
	got := receive(t, c, 2)
	if err := r.XGroupDelConsumer(testContext(t), streamKey(d, q, driver.Normal), groupName, c.name).Err(); err != nil {
		t.Fatal(err)
	}
	again := receive(t, c, 2)
	if fmt.Sprint(ids(again)) != "[a b]" || again[0].Redeliveries != 1 || again[0].Deliveries != 2 {
		t.Fatalf("received %+v", again)
	}
	if errs := c.Settle(testContext(t), []driver.Settlement{{Delivery: got[0], Outcome: driver.OutcomeDone}}); !errors.Is(errs[0], driver.ErrLeaseLost) {
		t.Fatalf("the former delivery was settled: %v", errs)
	}
	done(t, c, again...)
}

// TestGroupWithoutHeadGoesOn: another program deleted the entry of a group's one
// job that may run.
func TestGroupWithoutHeadGoesOn(t *testing.T) {
	d, r := open(t), raw(t)
	q := queue(t, d)
	c := consume(t, d, q, minLease)
	enqueue(t, d, q, message("a", group("g")), message("b", group("g")))
	got := receive(t, c, 1)
	id := got[0].Receipt.(*receipt).id
	if err := r.XDel(testContext(t), streamKey(d, q, driver.Normal), id).Err(); err != nil {
		t.Fatal(err)
	}
	other := consume(t, d, q, time.Minute)
	got = receive(t, other, 1)
	if got[0].ID != "b" {
		t.Fatalf("received %v", ids(got))
	}
	done(t, other, got...)
	// What was removed is held until its lease ends, and is looked for now and then.
	eventuallyIn(t, 3*bound, "nothing to be held", func() bool {
		left, err := d.Depth(testContext(t), q)
		return err == nil && left == (driver.Depth{})
	})
}

func TestDamagedEntries(t *testing.T) {
	d, r := open(t), raw(t)
	q := queue(t, d)
	ctx := testContext(t)
	key := streamKey(d, q, driver.Normal)
	var big []any
	for i := range 5000 {
		big = append(big, fmt.Sprintf("x%d", i), "y")
	}
	for _, fields := range [][]any{
		{"foreign", "entry"},
		{"job", "no-kind", "body", "x"},
		{"job", "no-body k 1"},
		{"job", "no-at k", "body", "x"},
		{"job", " no-id 1", "body", "x"},
		{"job", "bad at k soon", "body", "x"},
		{"job", "bad-at k soon", "body", "x"},
		{"job", "bad-n k 1", "body", "x", "n", "-3"},
		{"job", "bad-max k 1", "body", "x", "max", "99999999999999999999"},
		{"job", "bad-pri k 1", "body", "x", "pri", "7"},
		{"job", strings.Repeat("x", 129) + " k 1", "body", "x"},
		append([]any{"job", "huge k", "body", "x"}, big...),
	} {
		if err := r.XAdd(ctx, &goredis.XAddArgs{Stream: key, Values: fields}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	enqueue(t, d, q, message("good"))
	c := consume(t, d, q, time.Minute)
	for _, max := range []int{1} {
		got := receive(t, c, max)
		if got[0].ID != "good" {
			t.Fatalf("received %v", ids(got))
		}
		done(t, c, got...)
	}
	depth(t, d, q, driver.Depth{Dead: 10})
	dead, _, err := d.DeadLetters(ctx, q, "", 100)
	if err != nil || len(dead) != 10 {
		t.Fatalf("dead letters: %d, %v", len(dead), err)
	}
	var named []string
	for _, l := range dead {
		if l.Reason != driver.ReasonUnreadable || string(l.Body) != "x" || l.ID == "" {
			t.Errorf("dead letter %+v", l)
		}
		named = append(named, l.ID)
	}
	if n, err := d.Discard(ctx, q, driver.Selection{IDs: named}); n != 10 || err != nil {
		t.Fatalf("discarded %d, %v", n, err)
	}
}

func TestDamagedBodyOfScheduledJob(t *testing.T) {
	d, r := open(t), raw(t)
	q := queue(t, d)
	ctx := testContext(t)
	c := consume(t, d, q, time.Minute)
	enqueue(t, d, q, message("a", delay(50*time.Millisecond)), message("b", delay(100*time.Millisecond)), message("c", delay(150*time.Millisecond)))
	bodies := d.names(q).prefix + "bodies"
	members, err := r.ZRange(ctx, d.names(q).prefix+"due", 0, -1).Result()
	if err != nil || len(members) != 3 {
		t.Fatal(members, err)
	}
	r.HSet(ctx, bodies, members[0], "\xc1garbage")
	r.HDel(ctx, bodies, members[1])
	got := receive(t, c, 1)
	if got[0].ID != "c" {
		t.Fatalf("received %v", ids(got))
	}
	done(t, c, got...)
	depth(t, d, q, driver.Depth{Dead: 1})
}
