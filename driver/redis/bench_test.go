package redis

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
)

// The benchmarks measure the driver without the core, by the size of its calls,
// and the raw client by turns against the same server, since machines differ and
// are shared: what counts is the ratio, reported as of-raw. Run them with
// -benchtime 1x or a few. Those with the core are in bench.

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
		ms[i] = &driver.Message{ID: fmt.Sprintf("01HXYZ01HXYZ01HXYZ%08d", i), Kind: "welcome", Body: make([]byte, benchBody), ContentType: defaultContentType, EnqueuedAt: now}
		for j := range ms[i].Body {
			ms[i].Body[j] = byte('a' + j%26)
		}
	}
	return ms
}

func rawAdd(m *driver.Message, stream string) *goredis.XAddArgs {
	return &goredis.XAddArgs{Stream: stream, Values: []any{"id", m.ID, "kind", m.Kind, "body", m.Body, "at", "1700000000000"}}
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
	trim := func() {
		c.Del(ctx, stream)
		c.Del(ctx, streamKey(d, q, driver.Normal))
	}
	for _, n := range []int{1, 32, 64, 500} {
		b.Run(fmt.Sprintf("%d-of-pipeline-500", n), func(b *testing.B) {
			compare(b, func() float64 { trim(); return rate(b, pipelined(500)) }, func() float64 { return rate(b, own(n)) })
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
