package redis

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

func TestConsumersAreCleanedUp(t *testing.T) {
	d, r := open(t), raw(t)
	q := queue(t, d)
	ctx := testContext(t)
	c := consume(t, d, q, time.Minute)
	enqueue(t, d, q, message("a"), message("b"))
	got := receive(t, c, 2)
	done(t, c, got[0])
	key := streamKey(d, q, driver.Normal)
	if err := c.Close(ctx); err != nil {
		t.Fatal(err)
	}
	names := func() (n []string) {
		list, err := r.XInfoConsumers(ctx, key, groupName).Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			n = append(n, c.Name)
		}
		return n
	}
	if n := names(); len(n) != 1 || n[0] != c.name {
		t.Fatalf("a consumer that holds a job left: %v", n)
	}
	c = consume(t, d, q, time.Minute)
	enqueue(t, d, q, message("c"))
	done(t, c, receive(t, c, 1)...)
	if err := c.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if n := names(); len(n) != 1 {
		t.Fatalf("a consumer that holds nothing stayed: %v", n)
	}
}

func TestCloseWhileBlocked(t *testing.T) {
	d, r := open(t), raw(t)
	q := queue(t, d)
	c := consume(t, d, q, time.Minute)
	chs := []chan received{background(testContext(t), c, 1), background(testContext(t), c, 1)}
	eventually(t, "a blocked consumer", func() bool { return blocked(t, r, d, q) == 1 })
	soon(t, "Close", func() {
		if err := c.Close(testContext(t)); err != nil {
			t.Fatal(err)
		}
		for _, ch := range chs {
			if got := <-ch; !errors.Is(got.err, driver.ErrClosed) {
				t.Fatal(got.err)
			}
		}
	})
	eventually(t, "the BLPOP to end", func() bool { return blocked(t, r, d, q) == 0 })
	if err := c.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Receive(testContext(t), 1); !errors.Is(err, driver.ErrClosed) {
		t.Fatal(err)
	}
	if keys, _ := r.Keys(testContext(t), d.names(q).prefix+"poke:*").Result(); len(keys) > 0 {
		t.Fatalf("left behind: %v", keys)
	}
}

// TestConsumeBesideClose: nothing looks after a consumer that is opened while the driver is closed.
func TestConsumeBesideClose(t *testing.T) {
	f := serve(t, fit(func([]string) []byte { return []byte(":0\r\n") }))
	for range 50 {
		d := openAt(t, f.url(""))
		var opened sync.WaitGroup
		for i := range 20 {
			opened.Go(func() {
				_, err := d.Consume(testContext(t), fmt.Sprint("q", i), driver.ConsumeOptions{Lease: time.Minute})
				if err != nil && !errors.Is(err, driver.ErrClosed) {
					t.Error(err)
				}
			})
		}
		closeDriver(t, d)
		opened.Wait()
		d.sweeper.mu.Lock()
		if n := len(d.sweeper.queues); n > 0 || d.sweeper.stop != nil {
			t.Errorf("%d queues are looked after, and somebody looks: %t", n, d.sweeper.stop != nil)
		}
		d.sweeper.mu.Unlock()
	}
}
