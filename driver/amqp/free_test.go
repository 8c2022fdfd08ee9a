package amqp

import (
	"context"
	"fmt"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
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
func standstill(t testing.TB, d *base, url, q string, still time.Duration) *names {
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

// delayed are jobs in a delay queue, as a process with another clock stores them, or with this one.
func delayed(t testing.TB, d *base, n *names, clock string, ttl, delay time.Duration, ids ...string) {
	t.Helper()
	now := time.Now()
	items := make([]*publication, len(ids))
	for i, id := range ids {
		items[i] = holdBack(n, encode(message(id), history{}), now.Add(delay), now, true)
		if items[i].ttl != ttl {
			t.Fatalf("a delay of %s begins in the queue of %s", delay, items[i].ttl)
		}
		items[i].message.Headers[hClock] = clock
	}
	d.publish(testContext(t), items)
	for _, item := range items {
		if item.err != nil {
			t.Fatal(item.err)
		}
	}
}

// TestStandstill has delay queues that stand still, on the oldest and the newest version: what is in them goes on when
// it is due and not before, and once, whoever stored it, while two processes look.
func TestStandstill(t *testing.T) {
	t.Parallel()
	for _, version := range []brokers.Version{brokers.RabbitMQ40, brokers.RabbitMQ4} {
		for name, clock := range map[string]string{"own clock": clockID, "another clock": "another"} {
			t.Run(fmt.Sprint(version, "/", name), func(t *testing.T) {
				t.Parallel()
				url := brokers.RabbitMQ(t, version).URL()
				d, other := impatient(t, url), impatient(t, url)
				q := queue(t, d)
				const jobs, still = 300, 128 * time.Millisecond
				n := standstill(t, d.base, url, q, still)
				begin := time.Now()
				delays := make(map[string]time.Duration)
				var ids []string
				for i := range jobs {
					ids = append(ids, fmt.Sprint("job-", i))
					delays[ids[i]] = 200 * time.Millisecond
				}
				delayed(t, d.base, n, clock, still, 200*time.Millisecond, ids...)
				a, b := consume(t, d, q, jobs), consume(t, other, q, jobs)
				gather(t, []driver.Consumer{a, b}, begin, delays)
				if depth, err := d.Depth(testContext(t), q); err != nil || depth.Scheduled != 0 || depth.Waiting != 0 {
					t.Errorf("%+v is left, %v", depth, err)
				}
			})
		}
	}
}

// gather receives jobs from all consumers: each once, and none before its delay is over.
func gather(t *testing.T, consumers []driver.Consumer, begin time.Time, delays map[string]time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(testContext(t), 2*bound)
	defer cancel()
	got := make(chan *driver.Delivery)
	for _, c := range consumers {
		go func() {
			for {
				deliveries, err := c.Receive(ctx, 100)
				if err != nil {
					return
				}
				for _, d := range deliveries {
					for _, err := range c.Settle(ctx, []driver.Settlement{{Delivery: d, Outcome: driver.OutcomeDone}}) {
						t.Error(err)
					}
					select {
					case got <- d:
					case <-ctx.Done():
						return
					}
				}
			}
		}()
	}
	runs := make(map[string]int)
	for len(runs) < len(delays) {
		select {
		case d := <-got:
			if after := time.Since(begin); after < delays[d.ID] {
				t.Errorf("%s came after %s, before its delay of %s was over", d.ID, after, delays[d.ID])
			}
			if runs[d.ID]++; runs[d.ID] > 1 {
				t.Errorf("%s came %d times", d.ID, runs[d.ID])
			}
		case <-ctx.Done():
			t.Fatalf("%d of %d jobs came", len(runs), len(delays))
		}
	}
	t.Logf("all came after %s", time.Since(begin))
}

var _ = amqp091.Table{}
