package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

func TestPriorityIsStrict(t *testing.T) {
	for _, max := range []int{1, 3, 100} {
		t.Run(fmt.Sprint(max), func(t *testing.T) {
			d := open(t)
			q := queue(t, d)
			c := consume(t, d, q, time.Minute)
			var ms []*driver.Message
			for i := range 50 {
				ms = append(ms, message(fmt.Sprintf("%02d", i), level(driver.Level(i%5-2))))
			}
			enqueue(t, d, q, ms...)
			var got []*driver.Delivery
			for first := true; len(got) < len(ms); first = false {
				more := receive(t, c, min(max, len(ms)-len(got)))
				if first {
					// A retry keeps its level.
					settle(t, c, driver.Settlement{Delivery: more[0], Outcome: driver.OutcomeRetry, Failures: 1})
					more = more[1:]
				}
				got = append(got, more...)
			}
			for i := 1; i < len(got); i++ {
				if got[i].Level > got[i-1].Level && max < 100 {
					t.Fatalf("%s of level %d came after level %d", got[i].ID, got[i].Level, got[i-1].Level)
				}
			}
			done(t, c, got...)
		})
	}
}

// TestBulkIsStrict: the fast way for large batches reads one stream only, and a job
// of a higher level that comes meanwhile is first nevertheless.
func TestBulkIsStrict(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	c := consume(t, d, q, time.Minute)
	var ms []*driver.Message
	for i := range 1000 {
		ms = append(ms, message(fmt.Sprint(i)))
	}
	enqueue(t, d, q, ms...)
	got := receive(t, c, 100)
	if c.fetcher.bulk.Load() != normalStream {
		t.Fatalf("the next fetch is not in bulk: %d", c.fetcher.bulk.Load())
	}
	enqueue(t, d, q, message("high", level(driver.High)), message("low", level(driver.Low)))
	next := receive(t, c, 100)
	if next[0].ID != "high" {
		t.Fatalf("received %s first", next[0].ID)
	}
	got = append(got, next...)
	for len(got) < 1002 {
		next, err := c.Receive(testContext(t), 250)
		if err != nil || len(next) > 250 {
			t.Fatal(len(next), err)
		}
		got = append(got, next...)
	}
	if got[len(got)-1].ID != "low" {
		t.Fatalf("received %s last", got[len(got)-1].ID)
	}
	depth(t, d, q, driver.Depth{Running: 1002})
	names := ids(got)
	slices.Sort(names)
	if n := len(slices.Compact(names)); n != 1002 {
		t.Fatalf("received %d different jobs", n)
	}
	for len(got) > 0 {
		n := min(len(got), batchSize)
		done(t, c, got[:n]...)
		got = got[n:]
	}
	depth(t, d, q, driver.Depth{})
	bulkOnOddQueues(t, d, q, c, ms)
}

// bulkOnOddQueues fetches in bulk on a paused, an empty and a wiped queue.
func bulkOnOddQueues(t *testing.T, d *Driver, q string, c *consumer, ms []*driver.Message) {
	enqueue(t, d, q, ms...)
	done(t, c, receive(t, c, 500)...)
	if err := d.Pause(testContext(t), q); err != nil {
		t.Fatal(err)
	}
	nothing(t, c, 50*time.Millisecond)
	c.fetcher.bulk.Store(normalStream)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if got, err := c.Receive(ctx, 500); err == nil {
		t.Fatalf("received %d jobs of a paused queue", len(got))
	}
	// What goes on of these calls would give back jobs while the queue is wiped.
	if err := c.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := d.Resume(testContext(t), q); err != nil {
		t.Fatal(err)
	}
	c = consume(t, d, q, time.Minute)
	r := raw(t)
	wipe(t, r, d, q)
	declare(t, d, q)
	enqueue(t, d, q, ms[:200]...)
	c.fetcher.bulk.Store(normalStream)
	done(t, c, receive(t, c, 200)...)
	depth(t, d, q, driver.Depth{})
}

func TestLargeBodiesComeInSmallBatches(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	c := consume(t, d, q, time.Minute)
	const jobs = 60
	for i := range jobs {
		enqueue(t, d, q, message(fmt.Sprint(i), func(m *driver.Message) { m.Body = make([]byte, 1<<20) }))
	}
	total, largest := 0, 0
	for total < jobs {
		got, err := c.Receive(testContext(t), 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range got {
			if len(g.Body) != 1<<20 {
				t.Fatalf("a body has %d bytes", len(g.Body))
			}
		}
		total += len(got)
		largest = max(largest, len(got))
		done(t, c, got...)
	}
	if largest > firstChunk {
		t.Errorf("a batch had %d MiB", largest)
	}
}

func TestOneJobWakesOneConsumer(t *testing.T) {
	d, r := open(t), raw(t)
	q := queue(t, d)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	const workers = 8
	var mu sync.Mutex
	got := map[string]int{}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for range workers {
		c := consume(t, d, q, time.Minute)
		wg.Go(func() {
			for {
				more, err := c.Receive(ctx, 1)
				if err != nil {
					return
				}
				mu.Lock()
				for _, m := range more {
					got[m.ID]++
				}
				mu.Unlock()
				done(t, c, more...)
			}
		})
	}
	eventually(t, "all to wait", func() bool { return blocked(t, r, d, q) >= workers })
	// More jobs than one fetch takes: the token is passed on.
	var ms []*driver.Message
	for i := range 100 {
		ms = append(ms, message(fmt.Sprint(i)))
	}
	enqueue(t, d, q, ms...)
	eventually(t, "all jobs", func() bool { mu.Lock(); defer mu.Unlock(); return len(got) == 100 })
	mu.Lock()
	defer mu.Unlock()
	for id, n := range got {
		if n != 1 {
			t.Errorf("job %s was handed out %d times", id, n)
		}
	}
}

// TestAbandonedReceive: the BLPOP of a Receive whose ctx ended goes on, and the
// token that it gets is not lost.
func TestAbandonedReceive(t *testing.T) {
	d, r := open(t), raw(t)
	q := queue(t, d)
	gone := consume(t, d, q, time.Minute)
	ctx, cancel := context.WithCancel(testContext(t))
	ch := background(ctx, gone, 1)
	eventually(t, "a blocked consumer", func() bool { return blocked(t, r, d, q) == 1 })
	other := background(testContext(t), consume(t, d, q, time.Minute), 1)
	eventually(t, "two blocked consumers", func() bool { return blocked(t, r, d, q) == 2 })
	soon(t, "the return of a Receive whose ctx ended", func() {
		cancel()
		if got := <-ch; !errors.Is(got.err, context.Canceled) {
			t.Fatal(got)
		}
	})
	// The consumer whose call ended has waited longest, so it gets the token.
	soon(t, "the way of the token", func() {
		enqueue(t, d, q, message("a"))
		if got := await(t, other); got[0].ID != "a" {
			t.Fatal(ids(got))
		}
	})
	// And a later Receive of the same consumer uses its own.
	enqueue(t, d, q, message("b"))
	if got := receive(t, gone, 1); got[0].ID != "b" {
		t.Fatal(ids(got))
	}
}

// TestFetchForAnEndedCall: jobs that arrive when their Receive has returned are
// given back as if they had not been handed out.
func TestFetchForAnEndedCall(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	c := consume(t, d, q, time.Minute)
	for i := range 200 {
		enqueue(t, d, q, message(fmt.Sprint(i)))
		ctx, cancel := context.WithCancel(context.Background())
		ch := background(ctx, c, 1)
		if i%3 == 0 {
			time.Sleep(time.Duration(i) * time.Microsecond) // many moments, not a wait
		}
		cancel()
		if got := <-ch; got.err == nil {
			if got.got[0].Deliveries != 1 {
				t.Fatalf("delivery %+v", got.got[0])
			}
			done(t, c, got.got...)
			continue
		}
		got := receive(t, c, 1)
		if got[0].ID != fmt.Sprint(i) || got[0].Deliveries != 1 || got[0].Redeliveries != 0 {
			t.Fatalf("job %d: %+v", i, got[0])
		}
		done(t, c, got...)
	}
	depth(t, d, q, driver.Depth{})
}

func TestPauseWhileReceiveIsBlocked(t *testing.T) {
	d, r := open(t), raw(t)
	q := queue(t, d)
	ctx := testContext(t)
	var all []chan received
	for range 3 {
		all = append(all, background(ctx, consume(t, d, q, time.Minute), 1))
	}
	eventually(t, "blocked consumers", func() bool { return blocked(t, r, d, q) == 3 })
	for range 2 {
		if err := d.Pause(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	if p, err := d.Paused(ctx, q); !p || err != nil {
		t.Fatal(p, err)
	}
	enqueue(t, d, q, message("a"), message("b"), message("c", delay(30*time.Millisecond)))
	// The delayed one becomes due, and still nothing is handed out.
	eventually(t, "the delayed job", func() bool {
		dep, err := d.Depth(ctx, q)
		return err == nil && dep.Waiting == 3
	})
	for _, ch := range all {
		select {
		case got := <-ch:
			t.Fatalf("received %+v while paused", got)
		default:
		}
	}
	var names []string
	soon(t, "what Resume wakes", func() {
		for range 2 {
			if err := d.Resume(ctx, q); err != nil {
				t.Fatal(err)
			}
		}
		for _, ch := range all {
			names = append(names, ids(await(t, ch))...)
		}
	})
	if slices.Sort(names); fmt.Sprint(names) != "[a b c]" {
		t.Fatalf("received %v", names)
	}
}
