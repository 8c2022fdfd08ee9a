package redis

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// TestIdleQueuesCost: a look at idle queues is three commands for each, in a script for 100.
func TestIdleQueuesCost(t *testing.T) {
	t.Parallel()
	c := newCosted(t)
	const queues = 250
	var list []*watched
	for i := range queues {
		q := fmt.Sprintf("q%d", i)
		declare(t, c.d, q)
		list = append(list, &watched{names: c.d.names(q)})
	}
	// It was used, so that there is a stream.
	con := consume(t, c.d, "q7", time.Minute)
	enqueue(t, c.d, "q7", message("a"))
	done(t, con, receive(t, con, 1)...)
	if err := con.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	s := newSweeper(c.d.conn, time.Second)
	s.ask(list) // loads the script
	var found []byte
	n := c.count(func() { found, _ = s.ask(list) })
	if string(found) != strings.Repeat("0", queues) {
		t.Errorf("it found %s", found)
	}
	if n.scripts != 3 || n.all > 3*queues+3 {
		t.Errorf("it took %d commands, in %d scripts", n.all, n.scripts)
	}
}

// TestSweepFinds: what there is to look after in a queue.
func TestSweepFinds(t *testing.T) {
	t.Parallel()
	c := newCosted(t)
	hour := delay(time.Hour)
	var list []*watched
	want := ""
	for i, of := range []struct {
		make func(q string)
		want byte
	}{
		{func(q string) { declare(t, c.d, q) }, foundNothing},
		{func(string) {}, foundMissing},
		{func(q string) { declare(t, c.d, q); enqueue(t, c.d, q, message("a")) }, foundJobs},
		{func(q string) { declare(t, c.d, q); enqueue(t, c.d, q, message("a", level(driver.Critical))) }, foundJobs},
		{func(q string) { declare(t, c.d, q); enqueue(t, c.d, q, message("a", hour)) }, foundScheduled},
		{func(q string) {
			declare(t, c.d, q)
			enqueue(t, c.d, q, message("a", hour))
			c.r.HSet(t.Context(), c.d.names(q).prefix+"groups", "g", "due gone")
		}, foundOther},
		// What is due by now, and bodies that no time leads to.
		{func(q string) {
			declare(t, c.d, q)
			enqueue(t, c.d, q, message("a", hour))
			c.r.ZIncrBy(t.Context(), c.d.names(q).prefix+"due", -2*time.Hour.Seconds()*1000, c.r.ZRange(t.Context(), c.d.names(q).prefix+"due", 0, 0).Val()[0])
		}, foundOther},
		{func(q string) {
			declare(t, c.d, q)
			enqueue(t, c.d, q, message("a", hour))
			c.r.HSet(t.Context(), c.d.names(q).prefix+"bodies", "of none", "x")
		}, foundOther},
		{func(q string) {
			declare(t, c.d, q)
			enqueue(t, c.d, q, message("a", hour))
			c.r.Del(t.Context(), c.d.names(q).prefix+"due")
		}, foundOther},
		{func(q string) { declare(t, c.d, q); c.r.Set(t.Context(), c.d.names(q).prefix+"due", "x", 0) }, foundOther},
		{func(q string) { declare(t, c.d, q); c.r.Del(t.Context(), c.d.names(q).prefix+"token") }, foundOther},
		{func(q string) {
			declare(t, c.d, q)
			enqueue(t, c.d, q, message("a", hour))
			c.r.Del(t.Context(), c.d.names(q).prefix+"token")
		}, foundOther},
		{func(q string) { c.r.RPush(t.Context(), c.d.names(q).prefix+"token", "1") }, foundMissing},
		{func(q string) {
			declare(t, c.d, q)
			con := consume(t, c.d, q, time.Minute)
			enqueue(t, c.d, q, message("a", level(driver.Low)))
			settle(t, con, driver.Settlement{Delivery: receive(t, con, 1)[0], Outcome: driver.OutcomeRelease})
		}, foundJobs},
		// A key that is no stream hides nothing of the others, nor of its own queue.
		{func(q string) { declare(t, c.d, q); c.r.Set(t.Context(), streamKey(c.d, q, driver.Low), "x", 0) }, foundJobs},
		{func(q string) { declare(t, c.d, q); c.r.Set(t.Context(), streamKey(c.d, q, driver.Normal), "x", 0) }, foundJobs},
	} {
		q := fmt.Sprintf("q%d", i)
		of.make(q)
		list = append(list, &watched{names: c.d.names(q)})
		want += string(of.want)
	}
	found, errs := newSweeper(c.d.conn, time.Second).ask(list)
	if err := errors.Join(errs...); string(found) != want || err != nil {
		t.Errorf("it found %s, %v; want %s", found, err, want)
	}
}

// watch makes a queue that a sweeper looks at when it is told to, with a consumer of which nothing is
// known but its lease.
func watch(d *Driver, q string, lease time.Duration) *watched {
	f := &fetcher{holder: newHolder(d.conn, q, d.names(q), lease), alarm: newAlarm(func() {})}
	return &watched{names: f.names, wakers: []*waker{{fetcher: f, began: func() {}}}, cursor: "0"}
}

// TestIdleQueuesCostASecond: all that looks after an idle queue takes less than one command a second, by the
// times for which its looks are planned.
func TestIdleQueuesCostASecond(t *testing.T) {
	t.Parallel()
	c := newCosted(t)
	const queues = sweepKeys
	s := newSweeper(c.d.conn, time.Hour)
	s.at = time.Now().Add(time.Hour) // whatever is planned is told
	var list []*watched
	for i := range queues {
		q := fmt.Sprintf("q%d", i)
		used(t, c.d, c.r, q)
		list = append(list, watch(c.d, q, 30*time.Second))
		list[i].round = i
	}
	var planned time.Duration
	round := func() {
		s.sweep(list)
		for _, q := range list {
			for wait := true; wait; {
				s.mu.Lock()
				if wait = q.busy || q.next.IsZero(); !wait {
					planned += q.every
					q.next = time.Time{}
				}
				s.mu.Unlock()
				if wait {
					<-s.changed
				}
			}
		}
	}
	round() // loads the scripts
	planned = 0
	n := c.count(func() {
		for range idleEvery {
			round()
		}
	})
	a := float64(n.all) / planned.Seconds()
	if t.Logf("%.2f commands a second, %.3f of them scripts", a, float64(n.scripts)/planned.Seconds()); a > 1 {
		t.Errorf("an idle queue takes %.2f commands a second", a)
	}
	if most := idleEvery + 3*queues; n.scripts > most {
		t.Errorf("%d looks at %d queues took %d scripts", idleEvery, queues, n.scripts)
	}
}

// TestIdlePeriod: an idle queue is looked at once in four seconds, in which the sweeper sleeps, and with a
// short lease before that can lapse.
func TestIdlePeriod(t *testing.T) {
	for lease, want := range map[time.Duration]time.Duration{
		minLease: 100 * time.Millisecond, time.Second: 500 * time.Millisecond, 4 * time.Second: 2 * time.Second,
		8 * time.Second: 4 * time.Second, 30 * time.Second: 4 * time.Second, maxLease: 4 * time.Second,
	} {
		if got := idlePeriod(lease); got != want {
			t.Errorf("with a lease of %s: %s", lease, got)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSweeper(nil, time.Hour)
		for i, in := range []time.Duration{4 * time.Second, 4500 * time.Millisecond, 5500 * time.Millisecond} {
			q := &watched{}
			s.queues[fmt.Sprint(i)] = q
			s.plan(q, in)
		}
		if due, in := s.due(); len(due) > 0 || in != 4*time.Second {
			t.Errorf("at first %d are due, the next after %s", len(due), in)
		}
		time.Sleep(4 * time.Second)
		if due, _ := s.due(); len(due) != 2 { // and the one that is due soon
			t.Errorf("after 4 s %d are due", len(due))
		}
		if due, in := s.due(); len(due) > 0 || in != 1500*time.Millisecond {
			t.Errorf("then %d are due, the next after %s", len(due), in)
		}
	})
}

// TestNudge: who has set an alarm is not made to fetch because jobs are scheduled. Others are, and all are
// where there is more.
func TestNudge(t *testing.T) {
	for _, c := range []struct {
		what       byte
		set, wakes bool
	}{
		{foundNothing, false, false}, {foundNothing, true, false},
		{foundScheduled, false, true}, {foundScheduled, true, false},
		{foundOther, false, true}, {foundOther, true, true},
		{foundJobs, false, true}, {foundJobs, true, true},
	} {
		q := watch(&Driver{}, "q", time.Minute)
		w := q.wakers[0]
		if c.set {
			w.alarm.plan(time.Hour.Milliseconds(), true)
		}
		w.add(1)
		nudge(q.wakers, c.what, time.Minute)
		if _, waits := w.first(); waits == c.wakes {
			t.Errorf("found %c with an alarm %t: it waits %t", c.what, c.set, waits)
		}
		w.alarm.stop()
	}
}

// TestWithoutAToken: what no token tells of is found nevertheless, also by a consumer that shares its
// connection, which looks for nothing by itself.
func TestWithoutAToken(t *testing.T) {
	t.Parallel()
	address := brokers.NewRedis(t, brokers.Redis8).URL()
	r := rawAt(t, address).(*goredis.Client)
	jobOf := func(id string) []any { return []any{"job", id + " test 1", "body", "{}"} }
	for name, do := range map[string]func(t *testing.T, d *Driver, q string){
		"waiting": func(t *testing.T, d *Driver, q string) {
			r.XAdd(t.Context(), &goredis.XAddArgs{Stream: streamKey(d, q, driver.Normal), Values: jobOf("a")})
		},
		"scheduled": func(t *testing.T, d *Driver, q string) {
			other := queue(t, d)
			enqueue(t, d, other, message("a", delay(time.Second)))
			for _, key := range []string{"bodies", "due"} {
				r.Rename(t.Context(), d.names(other).prefix+key, d.names(q).prefix+key)
			}
		},
		"lapsed": func(t *testing.T, d *Driver, q string) {
			p, key := r.TxPipeline(), streamKey(d, q, driver.Normal)
			p.XGroupCreateMkStream(t.Context(), key, groupName, "0")
			p.XAdd(t.Context(), &goredis.XAddArgs{Stream: key, Values: jobOf("a")})
			p.XReadGroup(t.Context(), &goredis.XReadGroupArgs{Group: groupName, Consumer: "gone:1000", Streams: []string{key, ">"}})
			if _, err := p.Exec(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
		"gone": func(t *testing.T, d *Driver, q string) {
			if err := d.DeleteQueue(testContext(t), q); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := openAt(t, address)
			d.ears.limit = 1
			q := queue(t, d)
			background(testContext(t), consume(t, d, queue(t, d), time.Minute), 1)
			ch := background(testContext(t), consume(t, d, q, time.Minute), 1)
			listening(t, d, 2)
			do(t, d, q)
			select {
			case got := <-ch:
				if name == "gone" != errors.Is(got.err, driver.ErrNotFound) || name != "gone" && fmt.Sprint(ids(got.got)) != "[a]" {
					t.Errorf("received %v, %v", ids(got.got), got.err)
				}
			case <-time.After(3 * bound):
				t.Errorf("it was not found within %s", 3*bound)
			}
		})
	}
}
