package redis

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
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

// TestListQueues: on one server and on every node of a cluster, what was declared and
// nothing else.
func TestListQueues(t *testing.T) {
	for name, address := range map[string]func() string{
		"single":  func() string { return testURL(t) },
		"cluster": func() string { return clusterURL(brokers.RedisCluster(t, brokers.Redis8).Addrs()) },
	} {
		t.Run(name, func(t *testing.T) {
			d, r := openAt(t, address()), rawAt(t, address())
			ctx := testContext(t)
			unique := fmt.Sprint(time.Now().UnixNano())
			var want []string
			for i := range 30 {
				want = append(want, fmt.Sprintf("list%d.%s%s", i, unique, []string{"", "}", "{", "%7D", "*"}[i%5]))
			}
			slices.Sort(want)
			for i, q := range want {
				t.Cleanup(func() { _ = d.DeleteQueue(testContext(t), q) })
				declare(t, d, q)
				if i%2 == 0 {
					enqueue(t, d, q, message("x", dedup("y}:meta")))
				}
			}
			gone := want[7]
			want = slices.Delete(want, 7, 8)
			if err := d.DeleteQueue(ctx, gone); err != nil {
				t.Fatal(err)
			}
			// Keys of other programs that look like ours.
			others := []string{"batch:{}:meta", "batch:{a{b" + unique + "}:meta", "batch:{no-format" + unique + "}:meta", "batch:meta", "batch:{string" + unique + "}:meta"}
			for i, key := range others {
				var err error
				if i == 4 {
					err = r.Set(ctx, key, "x", 0).Err()
				} else {
					err = r.HSet(ctx, key, map[string]string{"format": "1", "x": "y"}).Err()
				}
				if i == 2 && err == nil {
					err = r.HDel(ctx, key, "format").Err()
				}
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { r.Del(testContext(t), key) })
			}
			all, err := d.ListQueues(ctx)
			if err != nil || !slices.IsSorted(all) {
				t.Fatal(all, err)
			}
			got := slices.DeleteFunc(all, func(q string) bool { return !strings.Contains(q, unique) })
			if !slices.Equal(got, want) {
				t.Errorf("listed %q\nwant   %q", got, want)
			}
		})
	}
}

// TestDue: scheduled jobs that wait for a consumer to bring them forth.
func TestDue(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	enqueue(t, d, q, message("a", delay(time.Millisecond)), message("b", delay(2*time.Millisecond)), message("c", delay(time.Hour)))
	eventually(t, "two to be due", func() bool {
		got, err := d.Depth(testContext(t), q)
		return err == nil && got == driver.Depth{Scheduled: 3, Due: 2}
	})
	c := consume(t, d, q, time.Minute)
	done(t, c, receive(t, c, 2)...)
	depth(t, d, q, driver.Depth{Scheduled: 1})
}

// TestAge: it is that of the job that has waited longest since it became ready, in
// whichever stream or group it is.
func TestAge(t *testing.T) {
	d, r := open(t), raw(t)
	q := queue(t, d)
	ctx := testContext(t)
	// age is what Depth tells, and must be within a second of want: jobs are made older
	// than they are by entry IDs of their own.
	age := func(what string, want time.Duration) {
		t.Helper()
		got, err := d.Depth(ctx, q)
		if err != nil || got.Age < want || got.Age > want+time.Minute {
			t.Errorf("%s: the age is %s, %v; want %s", what, got.Age, err, want)
		}
	}
	add := func(l driver.Level, ago time.Duration) {
		t.Helper()
		id := fmt.Sprintf("%d-1", time.Now().Add(-ago).UnixMilli())
		if err := r.XAdd(ctx, &goredis.XAddArgs{Stream: streamKey(d, q, l), ID: id, Values: []any{"job", "x test 1", "body", "x"}}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := d.Depth(ctx, q); err != nil || got.Age != 0 {
		t.Errorf("an empty queue: %+v, %v", got, err)
	}
	add(driver.Low, 3*time.Hour)
	add(driver.Normal, 2*time.Hour)
	add(driver.Normal, time.Hour)
	age("the head of low", 3*time.Hour)
	c := consume(t, d, q, time.Minute)
	got := receive(t, c, 1)
	age("after one was handed out", 3*time.Hour)
	got = append(got, receive(t, c, 2)...)
	if dep, err := d.Depth(ctx, q); err != nil || dep.Age != 0 || dep.Running != 3 {
		t.Errorf("with none that waits: %+v, %v", dep, err)
	}
	settle(t, c, driver.Settlement{Delivery: got[0], Outcome: driver.OutcomeRelease})
	age("a job that became ready again", 0)
	done(t, c, append(receive(t, c, 1), got[1:]...)...)

	// Behind the first of a group.
	var ms []*driver.Message
	for i := range 501 {
		ms = append(ms, message(fmt.Sprint(i), group("g")))
	}
	enqueue(t, d, q, ms...)
	receive(t, c, 1)
	names := d.names(q)
	behind, err := r.ZRange(ctx, names.prefix+"behind", 100, 100).Result()
	if err != nil {
		t.Fatal(err)
	}
	r.ZRem(ctx, names.prefix+"behind", behind[0])
	r.ZAdd(ctx, names.prefix+"behind", goredis.Z{Member: fmt.Sprintf("g %017d.0000", time.Now().Add(-5*time.Hour).UnixMicro())})
	age("of those behind", 5*time.Hour)
	enqueue(t, d, q, message("more", group("g")))
	if got, err := d.Depth(ctx, q); err != nil || got.Age != driver.UnknownAge || got.Waiting != 501 {
		t.Errorf("with many behind: %+v, %v", got, err)
	}
}
