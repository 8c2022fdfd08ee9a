package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

func TestVanishedHolder(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	const lease = 400 * time.Millisecond
	gone := consume(t, d, q, lease)
	enqueue(t, d, q, message("a", level(driver.High)), message("b"))
	held := receive(t, gone, 2)
	start := time.Now()
	if err := gone.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	c := consume(t, d, q, lease)
	got := receive(t, c, 2)
	if took := time.Since(start); took < lease-20*time.Millisecond || took > lease+time.Second {
		t.Errorf("a lease of %s was handed on after %s", lease, took)
	}
	for i := range got {
		if got[i].ID != held[i].ID || got[i].Deliveries != 2 || got[i].Redeliveries != 1 || got[i].Level != held[i].Level {
			t.Errorf("received %+v", got[i])
		}
	}
	for _, o := range []driver.Outcome{driver.Done, driver.Retry, driver.Release, driver.Dead} {
		for i, err := range c.Settle(testContext(t), []driver.Settlement{{Delivery: held[0], Outcome: o}, {Delivery: held[1], Outcome: o}}) {
			if !errors.Is(err, driver.ErrLeaseLost) {
				t.Errorf("%s of lost delivery %d: %v", o, i, err)
			}
		}
	}
	depth(t, d, q, driver.Depth{Running: 2})
	done(t, c, got...)
	depth(t, d, q, driver.Depth{})
}

func TestExtendKeepsAlsoTheBuffered(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	c, other := consume(t, d, q, 300*time.Millisecond), consume(t, d, q, 300*time.Millisecond)
	enqueue(t, d, q, message("a", level(driver.Critical)), message("b"), message("c"))
	got := receive(t, c, 3)
	ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
	defer cancel()
	ch := background(ctx, other, 10)
	for ctx.Err() == nil {
		if errs := c.Extend(testContext(t), got); errs != nil {
			t.Fatal(errs)
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	if r := <-ch; r.err == nil {
		t.Fatalf("a held job was handed to another: %v", ids(r.got))
	}
	done(t, c, got...)
	if errs := c.Extend(testContext(t), got); !errors.Is(errs[0], driver.ErrLeaseLost) || !errors.Is(errs[2], driver.ErrLeaseLost) {
		t.Fatalf("extended settled jobs: %v", errs)
	}
}

// TestLeasesOfDifferentLength: each consumer's own lease counts, whoever looks.
func TestLeasesOfDifferentLength(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	long, short := consume(t, d, q, time.Hour), consume(t, d, q, minLease)
	enqueue(t, d, q, message("long"))
	held := receive(t, long, 1)
	enqueue(t, d, q, message("short"))
	receive(t, short, 1)
	if got := receive(t, short, 1); got[0].ID != "short" || got[0].Redeliveries != 1 {
		t.Fatalf("received %+v", got[0])
	}
	done(t, long, held...)
}

// TestNoJobIsHeldTwice: consumers come and go with their hands full, and no job
// is with two of them within one lease.
func TestNoJobIsHeldTwice(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	const jobs, workers = 400, 6
	var ms []*driver.Message
	for i := range jobs {
		ms = append(ms, message(fmt.Sprint(i), level(driver.Level(i%5-2))))
	}
	enqueue(t, d, q, ms...)
	var mu sync.Mutex
	holder, finished := map[string]int{}, map[string]bool{}
	ctx, cancel := context.WithTimeout(context.Background(), 2*bound)
	defer cancel()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			c := consume(t, d, q, 2*time.Second)
			for round := 0; ; round++ {
				got, err := c.Receive(ctx, 7)
				if err != nil {
					return
				}
				mu.Lock()
				for _, g := range got {
					if other, held := holder[g.ID]; held || finished[g.ID] {
						t.Errorf("worker %d was handed %s which %d has, finished %t", w, g.ID, other, finished[g.ID])
					}
					holder[g.ID] = w
				}
				mu.Unlock()
				var s []driver.Settlement
				for i, g := range got {
					o := driver.Done
					if i%3 == 1 && g.Deliveries < 4 {
						o = driver.Release
					} else if i%3 == 2 && g.Deliveries < 4 {
						o = driver.Retry
					}
					s = append(s, driver.Settlement{Delivery: g, Outcome: o})
				}
				mu.Lock()
				for i, g := range got {
					delete(holder, g.ID) // before it is out of our hands
					finished[g.ID] = s[i].Outcome == driver.Done
				}
				mu.Unlock()
				for _, err := range c.Settle(testContext(t), s) {
					if err != nil {
						t.Errorf("worker %d: %v", w, err)
					}
				}
				mu.Lock()
				n := 0
				for _, f := range finished {
					if f {
						n++
					}
				}
				mu.Unlock()
				if n == jobs {
					cancel()
				}
			}
		})
	}
	wg.Wait()
	depth(t, d, q, driver.Depth{})
}
