package bench

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/redis"
	"github.com/batch-go/batch/internal/brokers"
)

// fullBatch is how many jobs each case of BenchmarkRedisFullBatch moves in an iteration: five full calls.
const fullBatch = 5000

// held is a server of the benchmark's own, of which it measures how long others are kept waiting.
type held struct {
	b    *testing.B
	raw  *goredis.Client
	d    *redis.Driver
	name string
	size int // of a body
}

// newHeld starts the server.
func newHeld(b *testing.B, size int) *held {
	b.Helper()
	server := brokers.NewRedis(b, brokers.Redis8, "--appendfsync", "everysec")
	options, err := goredis.ParseURL(server.URL())
	must(b, err)
	h := &held{b: b, raw: goredis.NewClient(options), name: fmt.Sprint("bench-", time.Now().UnixNano()), size: size}
	b.Cleanup(func() { must(b, h.raw.Close()) })
	must(b, h.raw.ConfigSet(b.Context(), "slowlog-max-len", "100000").Err())
	must(b, h.raw.ConfigSet(b.Context(), "slowlog-log-slower-than", "200").Err())
	h.d, err = redis.Open(b.Context(), server.URL())
	must(b, err)
	b.Cleanup(func() { must(b, h.d.Close(context.Background())) })
	return h
}

// messages makes jobs, each changed by edit.
func (h *held) messages(n int, edit func(i int, m *driver.Message)) []*driver.Message {
	list := make([]*driver.Message, n)
	for i := range list {
		list[i] = &driver.Message{ID: fmt.Sprintf("job-%08d", i), Kind: "bench", Body: make([]byte, h.size),
			ContentType: "application/json", EnqueuedAt: time.UnixMilli(time.Now().UnixMilli())}
		if edit != nil {
			edit(i, list[i])
		}
	}
	return list
}

// enqueue stores jobs, a full call at a time.
func (h *held) enqueue(list []*driver.Message) {
	for ; len(list) > 0; list = list[min(len(list), 1000):] {
		for _, r := range h.d.Enqueue(h.b.Context(), h.name, list[:min(len(list), 1000)]) {
			must(h.b, r.Err)
		}
	}
}

// receive gets n jobs.
func (h *held) receive(c driver.Consumer, n int) []*driver.Delivery {
	var got []*driver.Delivery
	for len(got) < n {
		more, err := c.Receive(h.b.Context(), min(1000, n-len(got)))
		must(h.b, err)
		got = append(got, more...)
	}
	return got
}

// settle ends deliveries alike, a full call at a time.
func (h *held) settle(c driver.Consumer, all []*driver.Delivery, as driver.Settlement) {
	for ; len(all) > 0; all = all[min(len(all), 1000):] {
		list := make([]driver.Settlement, min(len(all), 1000))
		for i := range list {
			list[i] = as
			list[i].Delivery = all[i]
		}
		for _, err := range c.Settle(h.b.Context(), list) {
			must(h.b, err)
		}
	}
}

// measure runs do, and returns what it took, the longest PING of another client meanwhile, and the longest
// that one script kept the server.
func (h *held) measure(do func()) (took, ping, script time.Duration) {
	ctx := h.b.Context()
	must(h.b, h.raw.SlowLogReset(ctx).Err())
	stop := make(chan struct{})
	var other sync.WaitGroup
	other.Go(func() {
		for {
			start := time.Now()
			if err := h.raw.Ping(ctx).Err(); err != nil {
				h.b.Error(err)
				return
			}
			ping = max(ping, time.Since(start))
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Microsecond):
			}
		}
	})
	start := time.Now()
	do()
	took = time.Since(start)
	close(stop)
	other.Wait()
	logged, err := h.raw.SlowLogGet(ctx, -1).Result()
	must(h.b, err)
	for _, l := range logged {
		if len(l.Args) > 0 && (l.Args[0] == "evalsha" || l.Args[0] == "eval") {
			script = max(script, l.Duration)
		}
	}
	return took, ping, script
}

// fullBatches are the cases: what prepare returns is measured.
var fullBatches = []struct {
	name    string
	prepare func(h *held, c driver.Consumer) func()
}{
	{"delays", func(h *held, _ driver.Consumer) func() {
		list := h.messages(fullBatch, func(_ int, m *driver.Message) { m.Delay = time.Hour })
		return func() { h.enqueue(list) }
	}},
	{"retries", func(h *held, c driver.Consumer) func() {
		h.enqueue(h.messages(fullBatch, nil))
		got := h.receive(c, fullBatch)
		return func() {
			h.settle(c, got, driver.Settlement{Outcome: driver.OutcomeRetry, Delay: time.Hour, Failures: 1, Error: "it failed"})
		}
	}},
	{"due", func(h *held, c driver.Consumer) func() {
		// Held back for as long as it takes to store them all.
		h.enqueue(h.messages(fullBatch, func(_ int, m *driver.Message) { m.Delay = 3 * time.Second }))
		deadline := time.Now().Add(3500 * time.Millisecond)
		return func() {
			if wait := time.Until(deadline); wait > 0 {
				<-time.After(wait)
			}
			h.receive(c, fullBatch)
		}
	}},
	{"dead-letters", func(h *held, c driver.Consumer) func() {
		h.enqueue(h.messages(fullBatch, nil))
		got := h.receive(c, fullBatch)
		return func() {
			h.settle(c, got, driver.Settlement{Outcome: driver.OutcomeDead, Reason: driver.ReasonAttempts, Failures: 1, Error: "it failed"})
		}
	}},
	{"redrives", func(h *held, c driver.Consumer) func() {
		h.bury(c, nil)
		return func() {
			n, err := h.d.Redrive(h.b.Context(), h.name, driver.Selection{All: true})
			must(h.b, err)
			if n != fullBatch {
				h.b.Fatalf("%d were moved", n)
			}
		}
	}},
	{"redrives-in-groups", func(h *held, c driver.Consumer) func() {
		h.bury(c, func(i int, m *driver.Message) { m.Group = fmt.Sprint("g", i%10) })
		return func() {
			_, err := h.d.Redrive(h.b.Context(), h.name, driver.Selection{All: true})
			must(h.b, err)
		}
	}},
	{"releases", func(h *held, c driver.Consumer) func() {
		h.enqueue(h.messages(fullBatch, nil))
		got := h.receive(c, fullBatch)
		return func() { h.settle(c, got, driver.Settlement{Outcome: driver.OutcomeRelease}) }
	}},
	{"done", func(h *held, c driver.Consumer) func() {
		h.enqueue(h.messages(fullBatch, nil))
		got := h.receive(c, fullBatch)
		return func() { h.settle(c, got, driver.Settlement{Outcome: driver.OutcomeDone}) }
	}},
	{"enqueue", func(h *held, _ driver.Consumer) func() {
		list := h.messages(fullBatch, nil)
		return func() { h.enqueue(list) }
	}},
	{"purge", func(h *held, _ driver.Consumer) func() {
		h.enqueue(h.messages(fullBatch, nil))
		return func() { _, err := h.d.Purge(h.b.Context(), h.name); must(h.b, err) }
	}},
}

// bury makes fullBatch dead letters, by an import.
func (h *held) bury(_ driver.Consumer, edit func(i int, m *driver.Message)) {
	list := h.messages(fullBatch, edit)
	for ; len(list) > 0; list = list[1000:] {
		entries := make([]*driver.Entry, 1000)
		for i := range entries {
			entries[i] = &driver.Entry{Message: *list[i], State: driver.StateDead, Reason: driver.ReasonAttempts}
		}
		for _, r := range h.d.Import(h.b.Context(), h.name, entries) {
			must(h.b, r.Err)
		}
	}
}

// BenchmarkRedisFullBatch: full calls of each kind, and how long they keep the server from others. It goes
// through the driver, as the core would fill fewer calls.
func BenchmarkRedisFullBatch(b *testing.B) {
	for _, size := range []int{bodySize, 100 << 10} {
		h := newHeld(b, size)
		for _, test := range fullBatches {
			if size > bodySize && test.name != "retries" && test.name != "redrives" {
				continue
			}
			b.Run(fmt.Sprintf("%s-%d", test.name, size), func(b *testing.B) {
				h.b = b
				var took, ping, script time.Duration
				n := 0
				for b.Loop() {
					must(b, h.d.Declare(b.Context(), h.name))
					c, err := h.d.Consume(b.Context(), h.name, driver.ConsumeOptions{Lease: time.Minute, Prefetch: fullBatch})
					must(b, err)
					t, p, s := h.measure(test.prepare(h, c))
					took, ping, script = took+t, max(ping, p), max(script, s)
					n += fullBatch
					must(b, c.Close(b.Context()))
					must(b, h.d.DeleteQueue(b.Context(), h.name))
				}
				b.ReportMetric(float64(n)/took.Seconds(), "jobs/s")
				b.ReportMetric(ms(ping), "longest-ping-ms")
				b.ReportMetric(ms(script), "longest-script-ms")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}
