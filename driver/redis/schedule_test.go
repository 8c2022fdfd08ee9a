package redis

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/late"
)

// TestAlarmKeepsTheEarliest: replies that are read late, and tell of nothing or of a
// later job, do not delay the look for the job that is due first.
func TestAlarmKeepsTheEarliest(t *testing.T) {
	type told struct {
		wait int64
		mine bool
	}
	for name, c := range map[string]struct {
		told  []told
		rings time.Duration // 0 for not at all
	}{
		"nothing":             {[]told{{-1, false}}, 0},
		"one":                 {[]told{{1300, true}}, 1300 * time.Millisecond},
		"nothing, read late":  {[]told{{1300, true}, {-1, false}}, 1300 * time.Millisecond},
		"a later one":         {[]told{{1300, true}, {2000, true}}, 1300 * time.Millisecond},
		"an earlier one":      {[]told{{2000, true}, {1300, true}}, 1300 * time.Millisecond},
		"due":                 {[]told{{2000, true}, {0, true}}, time.Nanosecond},
		"another's":           {[]told{{1000, false}}, 1250 * time.Millisecond},
		"another's, now mine": {[]told{{1000, false}, {1000, true}}, time.Second},
		"mine, now another's": {[]told{{1000, true}, {1000, false}}, time.Second},
		"beyond all clocks":   {[]told{{math.MaxInt64, true}}, latestLook},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rings := make(chan struct{}, 1)
				a := newAlarm(func() { rings <- struct{}{} })
				defer a.stop()
				a.backup = 250 * time.Millisecond
				began := time.Now()
				for _, told := range c.told {
					a.plan(told.wait, told.mine)
				}
				select {
				case <-rings:
				case <-time.After(2 * latestLook):
				}
				switch rang := time.Since(began); {
				case c.rings == 0 && rang != 2*latestLook:
					t.Errorf("it rang after %s", rang)
				case c.rings > 0 && rang.Round(time.Millisecond) != c.rings.Round(time.Millisecond):
					t.Errorf("it rang after %s, not %s", rang, c.rings)
				}
				a.rang()
				a.plan(500, true)
				if <-rings; time.Since(began) < 500*time.Millisecond {
					t.Error("it rang again at once")
				}
			})
		})
	}
}

// TestDueByTime: jobs are never early, and late by milliseconds, not by a poll.
func TestDueByTime(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	const jobs = 60
	ctx := testContext(t)
	c := consume(t, d, q, time.Minute)
	consume(t, d, q, time.Minute) // another that holds no timer
	var mu sync.Mutex
	due := map[string]time.Time{}
	var after []float64 // in milliseconds
	var wg sync.WaitGroup
	wg.Go(func() {
		for len(after) < jobs {
			got, err := c.Receive(ctx, 10)
			now := time.Now()
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			for _, g := range got {
				l := now.Sub(due[g.ID])
				if l < 0 {
					t.Errorf("%s was %s early", g.ID, -l)
				}
				after = append(after, float64(l.Microseconds())/1000)
			}
			mu.Unlock()
			done(t, c, got...)
		}
	})
	lateness := late.During(func() {
		for i := range jobs {
			// Later ones are often due earlier, and become the head.
			in := 50*time.Millisecond + rand.N(1500*time.Millisecond)
			id := fmt.Sprint(i)
			mu.Lock()
			due[id] = time.Now().Add(in)
			mu.Unlock()
			enqueue(t, d, q, message(id, delay(in)))
		}
		wg.Wait()
	})
	machine := float64(lateness.Microseconds()) / 1000
	middle, worst := median(after), after[len(after)-1] // which median has sorted
	t.Logf("late: median %.1f ms, worst %.1f ms; the machine at worst %.1f ms", middle, worst, machine)
	if middle > 50+late.Steps*machine {
		t.Errorf("the median is %.1f ms late", middle)
	}
	if worst > 1000+loaded*machine {
		t.Errorf("the worst is %.0f ms late", worst)
	}
	depth(t, d, q, driver.Depth{})
}

// TestDueWhileHolderOfTheTimerIsGone: the consumer that keeps the timer closes, and
// another, which has waited all the time, sets its own.
func TestDueWhileHolderOfTheTimerIsGone(t *testing.T) {
	d, r := open(t), raw(t)
	q := queue(t, d)
	a, b := consume(t, d, q, time.Minute), consume(t, d, q, time.Minute)
	first := background(testContext(t), a, 1)
	eventually(t, "a to wait", func() bool { return blocked(t, r, d, q) == 1 })
	start := time.Now()
	var got []*driver.Delivery
	lateness := late.During(func() {
		enqueue(t, d, q, message("x", delay(600*time.Millisecond)))
		timer := d.names(q).prefix + "timer"
		eventually(t, "a to keep the timer", func() bool { n, _ := r.Exists(testContext(t), timer).Result(); return n == 1 })
		second := background(testContext(t), b, 1)
		eventually(t, "both to wait", func() bool { return blocked(t, r, d, q) == 2 })
		if err := a.Close(testContext(t)); err != nil {
			t.Fatal(err)
		}
		<-first
		got = await(t, second)
	})
	if took := time.Since(start); got[0].ID != "x" || took < 600*time.Millisecond || took > 1600*time.Millisecond+loaded*lateness {
		t.Fatalf("received %v after %s, on a machine that is late by %s", ids(got), took, lateness)
	}
}

func TestManyDueAtOnce(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	c := consume(t, d, q, time.Minute)
	var ms []*driver.Message
	for i := range 1000 {
		ms = append(ms, message(fmt.Sprintf("%04d", i), delay(300*time.Millisecond)))
	}
	for range 2 {
		enqueue(t, d, q, ms...)
	}
	depth(t, d, q, driver.Depth{Scheduled: 2000})
	for got := 0; got < 2000; {
		more := receive(t, c, 100)
		for i := range more {
			if want := fmt.Sprintf("%04d", (got+i)%1000); more[i].ID != want {
				t.Fatalf("job %d is %s", got+i, more[i].ID)
			}
		}
		got += len(more)
		done(t, c, more...)
	}
	depth(t, d, q, driver.Depth{})
}
