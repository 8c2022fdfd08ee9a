package redis

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
)

// The benchmarks measure the driver and the raw client by turns against the
// same server, since machines differ and are shared: what counts is the ratio,
// reported as of-raw. Run them with -benchtime 1x or a few.

const (
	benchBody  = 256
	benchSlice = 250 * time.Millisecond
)

// rate runs f, which returns how many jobs it did, for a slice of time.
func rate(b *testing.B, f func() int) float64 {
	b.Helper()
	n, start := 0, time.Now()
	for time.Since(start) < benchSlice {
		n += f()
	}
	return float64(n) / time.Since(start).Seconds()
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// compare runs both by turns and reports the medians.
func compare(b *testing.B, raw, own func() float64) {
	var rates, ratios []float64
	for b.Loop() {
		for range 5 {
			r, o := raw(), own()
			rates = append(rates, o)
			ratios = append(ratios, o/r)
		}
	}
	b.ReportMetric(median(rates), "jobs/s")
	b.ReportMetric(median(ratios), "of-raw")
	b.ReportMetric(0, "ns/op")
}

func benchMessages(n int) []*driver.Message {
	ms := make([]*driver.Message, n)
	now := time.UnixMilli(time.Now().UnixMilli())
	for i := range ms {
		ms[i] = &driver.Message{ID: fmt.Sprintf("01HXYZ01HXYZ01HXYZ%08d", i), Kind: "welcome", Body: make([]byte, benchBody), ContentType: defaultType, EnqueuedAt: now}
		for j := range ms[i].Body {
			ms[i].Body[j] = byte('a' + j%26)
		}
	}
	return ms
}

func rawAdd(m *driver.Message, stream string) *goredis.XAddArgs {
	return &goredis.XAddArgs{Stream: stream, Values: []any{"id", m.ID, "kind", m.Kind, "body", m.Body, "at", "1700000000000"}}
}

// parallel runs f in n goroutines for a slice of time.
func parallel(n int, f func() int) float64 {
	var total atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range n {
		wg.Go(func() {
			for time.Since(start) < benchSlice {
				total.Add(int64(f()))
			}
		})
	}
	wg.Wait()
	return float64(total.Load()) / time.Since(start).Seconds()
}

func BenchmarkEnqueue(b *testing.B) {
	ctx := context.Background()
	d, c := open(b), raw(b)
	q := queue(b, d)
	stream := "{" + q + "}:raw"
	b.Cleanup(func() { c.Del(ctx, stream) })
	ms := benchMessages(1000)
	pipelined := func(n int) func() int {
		return func() int {
			p := c.Pipeline()
			for _, m := range ms[:n] {
				p.XAdd(ctx, rawAdd(m, stream))
			}
			if _, err := p.Exec(ctx); err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	own := func(n int) func() int {
		return func() int {
			if r := d.Enqueue(ctx, q, ms[:n]); r != nil {
				b.Fatal(r[0].Err)
			}
			return n
		}
	}
	single := func() int {
		if err := c.XAdd(ctx, rawAdd(ms[0], stream)).Err(); err != nil {
			b.Fatal(err)
		}
		return 1
	}
	trim := func() {
		c.Del(ctx, stream)
		c.Del(ctx, d.keys(q).fixed[2].(string))
	}
	for _, n := range []int{1, 32, 64, 500} {
		b.Run(fmt.Sprintf("%d-of-pipeline-500", n), func(b *testing.B) {
			compare(b, func() float64 { trim(); return rate(b, pipelined(500)) }, func() float64 { return rate(b, own(n)) })
		})
	}
	// What 64 producers get through the coalescer: one or two calls at a time.
	for _, calls := range []int{1, 2} {
		b.Run(fmt.Sprintf("%dx32-of-64-goroutines", calls), func(b *testing.B) {
			compare(b, func() float64 { trim(); return parallel(64, single) }, func() float64 { return parallel(calls, own(32)) })
		})
	}
}

func BenchmarkProcess(b *testing.B) {
	ctx := context.Background()
	d, c := open(b), raw(b)
	q := queue(b, d)
	stream := "{" + q + "}:raw"
	b.Cleanup(func() { c.Del(ctx, stream) })
	ms := benchMessages(1000)
	own, err := d.Consume(ctx, q, driver.ConsumeOptions{Lease: time.Minute, Prefetch: 4000})
	if err != nil {
		b.Fatal(err)
	}
	c.XGroupCreateMkStream(ctx, stream, "g", "0")
	fill := func(n int) {
		for ; n > 0; n -= len(ms) {
			p := c.Pipeline()
			for _, m := range ms {
				p.XAdd(ctx, rawAdd(m, stream))
			}
			if _, err := p.Exec(ctx); err != nil {
				b.Fatal(err)
			}
			if r := d.Enqueue(ctx, q, ms); r != nil {
				b.Fatal(r[0].Err)
			}
		}
	}
	const jobs = 40000
	rawLoop := func(n int) float64 {
		start, total := time.Now(), 0
		for total < jobs {
			r, err := c.XReadGroup(ctx, &goredis.XReadGroupArgs{Group: "g", Consumer: "c", Count: int64(n), Streams: []string{stream, ">"}, Block: -1}).Result()
			if err != nil {
				b.Fatal(err)
			}
			ids := make([]string, len(r[0].Messages))
			for i, m := range r[0].Messages {
				ids[i] = m.ID
			}
			p := c.Pipeline()
			p.XAck(ctx, stream, "g", ids...)
			p.XDel(ctx, stream, ids...)
			if _, err := p.Exec(ctx); err != nil {
				b.Fatal(err)
			}
			total += len(ids)
		}
		return float64(total) / time.Since(start).Seconds()
	}
	ownLoop := func(n int) float64 {
		start, total := time.Now(), 0
		for total < jobs {
			got, err := own.Receive(ctx, n)
			if err != nil {
				b.Fatal(err)
			}
			s := make([]driver.Settlement, len(got))
			for i := range got {
				s[i] = driver.Settlement{Delivery: got[i], Outcome: driver.Done}
			}
			if errs := own.Settle(ctx, s); errs != nil {
				b.Fatal(errs)
			}
			total += len(got)
		}
		return float64(total) / time.Since(start).Seconds()
	}
	// As the core does it: it receives while it settles.
	ownPiped := func(n int) float64 {
		start, total := time.Now(), 0
		ch := make(chan []*driver.Delivery, 1)
		var wg sync.WaitGroup
		wg.Go(func() {
			for got := range ch {
				s := make([]driver.Settlement, len(got))
				for i := range got {
					s[i] = driver.Settlement{Delivery: got[i], Outcome: driver.Done}
				}
				if errs := own.Settle(ctx, s); errs != nil {
					b.Error(errs)
				}
			}
		})
		for total < jobs {
			got, err := own.Receive(ctx, n)
			if err != nil {
				b.Fatal(err)
			}
			ch <- got
			total += len(got)
		}
		close(ch)
		wg.Wait()
		return float64(total) / time.Since(start).Seconds()
	}
	for _, n := range []int{50, 500} {
		b.Run(fmt.Sprintf("serial-%d", n), func(b *testing.B) {
			compare(b, func() float64 { fill(jobs); return rawLoop(n) }, func() float64 { return ownLoop(n) })
		})
		b.Run(fmt.Sprintf("overlapped-%d", n), func(b *testing.B) {
			compare(b, func() float64 { fill(jobs); return rawLoop(n) }, func() float64 { return ownPiped(n) })
		})
	}
}

// BenchmarkPickup measures from before the enqueue to the job in hand, on a
// queue where a consumer waits. raw is an XADD into a blocked XREADGROUP.
func BenchmarkPickup(b *testing.B) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	d, c := open(b), raw(b)
	q := queue(b, d)
	stream := "{" + q + "}:raw"
	b.Cleanup(func() { c.Del(context.Background(), stream) })
	ms := benchMessages(1)
	c.XGroupCreateMkStream(ctx, stream, "g", "0")
	got := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	wg.Go(func() {
		for ctx.Err() == nil {
			r, err := c.XReadGroup(ctx, &goredis.XReadGroupArgs{Group: "g", Consumer: "c", Count: 1, Streams: []string{stream, ">"}, Block: 300 * time.Millisecond}).Result()
			if err == nil && len(r) > 0 {
				got <- struct{}{}
				c.XAck(ctx, stream, "g", r[0].Messages[0].ID)
			}
		}
	})
	own, err := d.Consume(ctx, q, driver.ConsumeOptions{Lease: time.Minute, Prefetch: 1})
	if err != nil {
		b.Fatal(err)
	}
	wg.Go(func() {
		for {
			r, err := own.Receive(ctx, 1)
			if err != nil {
				return
			}
			got <- struct{}{}
			own.Settle(ctx, []driver.Settlement{{Delivery: r[0], Outcome: driver.Done}})
		}
	})
	var rawTimes, ownTimes, trips []float64
	measure := func(f func()) float64 {
		time.Sleep(2 * time.Millisecond) // the receiver goes back to waiting
		start := time.Now()
		f()
		<-got
		return float64(time.Since(start).Microseconds())
	}
	for b.Loop() {
		for range 300 {
			rawTimes = append(rawTimes, measure(func() { c.XAdd(ctx, rawAdd(ms[0], stream)) }))
			ownTimes = append(ownTimes, measure(func() { d.Enqueue(ctx, q, ms) }))
			start := time.Now()
			c.Ping(ctx)
			trips = append(trips, float64(time.Since(start).Microseconds()))
		}
	}
	slices.Sort(rawTimes)
	slices.Sort(ownTimes)
	p99 := func(v []float64) float64 { return v[len(v)*99/100] }
	b.ReportMetric(median(ownTimes), "µs-p50")
	b.ReportMetric(p99(ownTimes), "µs-p99")
	b.ReportMetric(median(rawTimes), "raw-µs-p50")
	b.ReportMetric(p99(rawTimes), "raw-µs-p99")
	b.ReportMetric(median(ownTimes)/median(trips), "round-trips")
	b.ReportMetric(0, "ns/op")
}
