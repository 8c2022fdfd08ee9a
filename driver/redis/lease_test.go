package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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
	// A look that falls into the millisecond in which both leases lapse may see either of them first.
	slices.SortFunc(got, func(a, b *driver.Delivery) int { return strings.Compare(a.ID, b.ID) })
	for i := range got {
		if got[i].ID != held[i].ID || got[i].Deliveries != 2 || got[i].Redeliveries != 1 || got[i].Level != held[i].Level {
			t.Errorf("received %+v", got[i])
		}
	}
	for _, o := range []driver.Outcome{driver.OutcomeDone, driver.OutcomeRetry, driver.OutcomeRelease, driver.OutcomeDead} {
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

// TestLeasesOfDifferentLength: each consumer's own lease counts, whichever looks.
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

func TestSettleTwice(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	c := consume(t, d, q, time.Minute)
	enqueue(t, d, q, message("a"), message("b"), message("c"))
	got := receive(t, c, 3)
	done(t, c, got[0])
	errs := c.Settle(testContext(t), []driver.Settlement{
		{Delivery: got[0], Outcome: driver.OutcomeDone}, {Delivery: got[1], Outcome: driver.OutcomeDone}, {Delivery: got[1], Outcome: driver.OutcomeDone},
		{Delivery: got[2], Outcome: driver.OutcomeRelease}, {Delivery: got[2], Outcome: driver.OutcomeRetry}})
	for i, lost := range []bool{true, false, true, false, true} {
		if errors.Is(errs[i], driver.ErrLeaseLost) != lost || lost == (errs[i] == nil) {
			t.Errorf("settlement %d: %v", i, errs[i])
		}
	}
	depth(t, d, q, driver.Depth{Waiting: 1})
}

// TestNoJobIsHeldTwice: several consumers give jobs back again and again, and no job
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
	ctx, cancel := context.WithTimeout(context.Background(), 2*bound)
	defer cancel()
	h := held{holder: map[string]int{}, finished: map[string]bool{}}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			c := consume(t, d, q, 2*time.Second)
			for {
				got, err := c.Receive(ctx, 7)
				if err != nil {
					return
				}
				h.take(t, w, got)
				var s []driver.Settlement
				for i, g := range got {
					o := driver.OutcomeDone
					if i%3 == 1 && g.Deliveries < 4 {
						o = driver.OutcomeRelease
					} else if i%3 == 2 && g.Deliveries < 4 {
						o = driver.OutcomeRetry
					}
					s = append(s, driver.Settlement{Delivery: g, Outcome: o})
				}
				h.give(s)
				for _, err := range c.Settle(testContext(t), s) {
					if err != nil {
						t.Errorf("worker %d: %v", w, err)
					}
				}
				if h.count() == jobs {
					cancel()
				}
			}
		})
	}
	wg.Wait()
	depth(t, d, q, driver.Depth{})
}

// held is which worker has which job, and which are done.
type held struct {
	mu       sync.Mutex // guards following
	holder   map[string]int
	finished map[string]bool
}

// take notes that a worker was handed jobs, which no other may have.
func (h *held) take(t *testing.T, worker int, got []*driver.Delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, g := range got {
		if other, held := h.holder[g.ID]; held || h.finished[g.ID] {
			t.Errorf("worker %d was handed %s which %d has, finished %t", worker, g.ID, other, h.finished[g.ID])
		}
		h.holder[g.ID] = worker
	}
}

// give notes how jobs will be settled, before they are.
func (h *held) give(settlements []driver.Settlement) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range settlements {
		delete(h.holder, s.Delivery.ID)
		h.finished[s.Delivery.ID] = s.Outcome == driver.OutcomeDone
	}
}

// count is how many jobs are done.
func (h *held) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, f := range h.finished {
		if f {
			n++
		}
	}
	return n
}
