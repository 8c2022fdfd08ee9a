package amqp

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/bootclock"
	"github.com/batch-go/batch/internal/brokers"
)

// impatient is a driver that looks at delay queues twice a second and more.
func impatient(t testing.TB, url string) *Driver {
	t.Helper()
	d, err := Open(testContext(t), url)
	if err != nil {
		t.Fatal(err)
	}
	d.lookPause = 400 * time.Millisecond
	t.Cleanup(func() { closeDriver(t, d) })
	return d
}

// standstill makes the delay queues of a queue, of which one keeps what it has for an hour, as it does when the server's
// time of day was set back by that.
func standstill(t testing.TB, url, q string, still time.Duration) *names {
	t.Helper()
	n := newNames(q)
	ch := raw(t, url)
	for _, ttl := range ttls {
		args := delayArgs(ttl, n.hop)
		if ttl == still {
			args = delayArgs(time.Hour, n.hop)
		}
		if err := declare(ch, n.delay(ttl), args); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// delayed puts jobs into a delay queue, as a process with some clock does.
func delayed(t testing.TB, d *base, n *names, clock string, ttl time.Duration, delays map[string]time.Duration) {
	t.Helper()
	now := time.Now()
	var items []*publication
	for _, id := range slices.Sorted(maps.Keys(delays)) {
		item := holdBack(n, encode(message(id), history{}), now.Add(delays[id]), now, false)
		item.queue = n.delay(ttl)
		item.message.Headers[hLeft] = max(delays[id]-ttl, 0).Milliseconds()
		item.message.Headers[hClock] = clock
		items = append(items, item)
	}
	d.publish(testContext(t), items)
	for _, item := range items {
		if item.err != nil {
			t.Fatal(item.err)
		}
	}
}

// TestStandstill has delay queues that stand still, on the oldest and the newest version: what is in them goes on when
// it is due and not before, and once, from whatever machine, while two processes look.
func TestStandstill(t *testing.T) {
	t.Parallel()
	for _, version := range []brokers.Version{brokers.RabbitMQ40, brokers.RabbitMQ4} {
		for name, clock := range map[string]string{"own clock": bootclock.ID, "another clock": "another"} {
			t.Run(fmt.Sprint(version, "/", name), func(t *testing.T) {
				t.Parallel()
				url := brokers.RabbitMQ(t, version).URL()
				d, other := impatient(t, url), impatient(t, url)
				q := queue(t, d)
				const jobs, still = 300, 128 * time.Millisecond
				n := standstill(t, url, q, still)
				begin := time.Now()
				delays := make(map[string]time.Duration)
				for i := range jobs {
					delays[fmt.Sprint("job-", i)] = 200*time.Millisecond + time.Duration(i%2)*6*time.Second
				}
				delayed(t, d.base, n, clock, still, delays)
				a, b := consume(t, d, q, jobs), consume(t, other, q, jobs)
				for id, times := range gather(t, begin, delays, a, b) {
					if times > 1 {
						t.Errorf("%s came %d times", id, times)
					}
				}
				if depth, err := d.Depth(testContext(t), q); err != nil || depth.Scheduled != 0 || depth.Waiting != 0 {
					t.Errorf("%+v is left, %v", depth, err)
				}
			})
		}
	}
}

// gather receives jobs from all consumers until each has come, and none before its delay is over. It returns how often
// each came.
func gather(t *testing.T, begin time.Time, delays map[string]time.Duration, consumers ...driver.Consumer) map[string]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(testContext(t), 2*bound)
	got := make(chan *driver.Delivery)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()
	for _, c := range consumers {
		tasks.Go(func() {
			for {
				deliveries, err := c.Receive(ctx, 100)
				if err != nil {
					return
				}
				settlements := make([]driver.Settlement, len(deliveries))
				for i, d := range deliveries {
					settlements[i] = driver.Settlement{Delivery: d, Outcome: driver.OutcomeDone}
				}
				for _, err := range c.Settle(ctx, settlements) {
					t.Error(err)
				}
				for _, d := range deliveries {
					select {
					case got <- d:
					case <-ctx.Done():
						return
					}
				}
			}
		})
	}
	runs := make(map[string]int)
	for len(runs) < len(delays) {
		select {
		case d := <-got:
			if after := time.Since(begin); after < delays[d.ID] {
				t.Errorf("%s came after %s, before its delay of %s was over", d.ID, after, delays[d.ID])
			}
			runs[d.ID]++
		case <-ctx.Done():
			t.Fatalf("%d of %d jobs came", len(runs), len(delays))
		}
	}
	return runs
}

// TestLookHarmsNothing: a look at a delay queue that moves leaves its first job where it was, and it leaves in time.
func TestLookHarmsNothing(t *testing.T) {
	t.Parallel()
	for _, version := range []brokers.Version{brokers.RabbitMQ40, brokers.RabbitMQ4} {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			url := brokers.RabbitMQ(t, version).URL()
			d, err := Open(testContext(t), url)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { closeDriver(t, d) })
			q := queue(t, d)
			const ttl = 4096 * time.Millisecond
			n := standstill(t, url, q, 0)
			begin := time.Now()
			delays := map[string]time.Duration{"a": ttl, "b": ttl, "c": ttl}
			delayed(t, d.base, n, "another", ttl, delays)
			ctx := testContext(t)
			conn, err := d.consuming.connection(ctx)
			if err != nil {
				t.Fatal(err)
			}
			l := &looker{source: &source{base: d.base, names: n, life: ctx}, watch: d.watch(n), conn: conn}
			for range 3 {
				i := slices.Index(ttls, ttl)
				if ch := raw(t, url); l.look(ctx, ch, i) != nil {
					t.Fatal("the look failed")
				}
				if seen := d.watch(n).level(i).seen; seen.job.id != "a" || seen.count != len(delays) {
					t.Fatalf("first is %q of %d, want a of %d", seen.job.id, seen.count, len(delays))
				}
			}
			l.leave()
			gather(t, begin, delays, consume(t, d, q, len(delays)))
			if after := time.Since(begin); after > ttl+lookPause {
				t.Errorf("the last one came after %s", after)
			}
		})
	}
}

// TestFreeIsCutOff: the connection ends after some confirms of what was moved on, and no job is lost.
func TestFreeIsCutOff(t *testing.T) {
	t.Parallel()
	const jobs, confirms, still = 2 * freeStep, freeStep + 50, 128 * time.Millisecond
	url := testURL(t)
	d := impatient(t, url)
	q := queue(t, d)
	n := standstill(t, url, q, still)
	delays := make(map[string]time.Duration)
	for i := range jobs {
		delays[fmt.Sprint("job-", i)] = still
	}
	begin := time.Now()
	delayed(t, d.base, n, bootclock.ID, still, delays)
	at := strings.LastIndex(url, "@")
	p := newConfirmer(t, strings.TrimRight(url[at+1:], "/"), confirms)
	cut, err := Open(testContext(t), url[:at+1]+p.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	cut.lookPause = d.lookPause
	consume(t, cut, q, 1)
	select {
	case <-p.acks:
	case <-time.After(bound):
		t.Fatal("nothing is moved on")
	}
	p.cut()
	_ = cut.Close(testContext(t))
	gather(t, begin, delays, consume(t, d, q, jobs))
}

// TestLooksAreFew counts what looks send: one declaration for each delay queue that is due and no job in it, on one
// channel, and nothing when none is due.
func TestLooksAreFew(t *testing.T) {
	t.Parallel()
	url := testURL(t)
	at := strings.LastIndex(url, "@")
	p := newConfirmer(t, strings.TrimRight(url[at+1:], "/"), 1<<62)
	d, err := Open(testContext(t), url[:at+1]+p.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeDriver(t, d) })
	q := queue(t, d)
	ctx := testContext(t)
	conn, err := d.consuming.connection(ctx)
	if err != nil {
		t.Fatal(err)
	}
	n := newNames(q)
	const open, declare = 20<<16 | 10, 50<<16 | 10
	for _, test := range []struct {
		name string
		made bool // whether there are delay queues
		due  bool
		want map[uint32]int
	}{
		{"not made", false, true, map[uint32]int{open: 1, declare: 1}},
		{"empty", true, true, map[uint32]int{open: 1, declare: len(ttls)}},
		{"not due", true, false, map[uint32]int{}},
	} {
		if test.made {
			standstill(t, url, q, 0)
		}
		w := newWatch(lookPause, time.Now())
		if test.due {
			for i := range w.levels {
				w.levels[i].used = time.Now().Add(-2*ttls[i] - lookPause)
				w.levels[i].looked = w.levels[i].used
			}
		}
		p.mu.Lock()
		clear(p.sent)
		p.mu.Unlock()
		l := &looker{source: &source{base: d.base, names: n, life: ctx}, watch: w, conn: conn}
		for range 10 {
			l.round(ctx)
		}
		p.mu.Lock()
		for _, end := range []uint32{20<<16 | 40, 20<<16 | 41} { // of the channel
			delete(p.sent, end)
		}
		if !maps.Equal(p.sent, test.want) {
			t.Errorf("%s: sent %v, want %v", test.name, p.sent, test.want)
		}
		p.mu.Unlock()
	}
}
