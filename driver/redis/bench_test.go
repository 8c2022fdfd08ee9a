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

// The benchmarks measure the driver without the core, by the size of its calls, and
// the raw client by turns against the same server. Machines differ and are shared, so
// what counts is the ratio, reported as of-raw. Run them with -benchtime 1x or a few.
// Those with the core are in bench.

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

// median sorts v.
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

// benchMessages makes n jobs.
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

// rawAdd adds a job as a program without this driver would.
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

// benchJobs is how many jobs one run of BenchmarkProcess receives and settles.
const benchJobs = 40000

// processBench is what BenchmarkProcess compares: the driver, and the raw client on a
// stream.
type processBench struct {
	b      *testing.B
	d      *Driver
	queue  string
	own    *consumer
	raw    goredis.UniversalClient
	stream string
}

func BenchmarkProcess(b *testing.B) {
	d, c := open(b), raw(b)
	q := queue(b, d)
	p := &processBench{b: b, d: d, queue: q, own: consume(b, d, q, time.Minute), raw: c, stream: "{" + q + "}:raw"}
	b.Cleanup(func() { c.Del(context.Background(), p.stream) })
	c.XGroupCreateMkStream(context.Background(), p.stream, "g", "0")
	for _, n := range []int{50, 500} {
		b.Run(fmt.Sprintf("serial-%d", n), func(b *testing.B) {
			compare(b, func() float64 { p.fill(); return p.rawSerial(n) }, func() float64 { return p.ownSerial(n) })
		})
		b.Run(fmt.Sprintf("overlapped-%d", n), func(b *testing.B) {
			compare(b, func() float64 { p.fill(); return p.rawSerial(n) }, func() float64 { return p.ownOverlapped(n) })
		})
	}
}

// fill stores the jobs of one run on both sides.
func (p *processBench) fill() {
	ctx := context.Background()
	ms := benchMessages(1000)
	for n := benchJobs; n > 0; n -= len(ms) {
		pipe := p.raw.Pipeline()
		for _, m := range ms {
			pipe.XAdd(ctx, rawAdd(m, p.stream))
		}
		if _, err := pipe.Exec(ctx); err != nil {
			p.b.Fatal(err)
		}
		if r := p.d.Enqueue(ctx, p.queue, ms); r != nil {
			p.b.Fatal(r[0].Err)
		}
	}
}

// rawSerial receives and settles with the raw client, n jobs at a time, and returns
// the jobs per second.
func (p *processBench) rawSerial(n int) float64 {
	ctx := context.Background()
	start, total := time.Now(), 0
	for total < benchJobs {
		r, err := p.raw.XReadGroup(ctx, &goredis.XReadGroupArgs{Group: "g", Consumer: "c", Count: int64(n), Streams: []string{p.stream, ">"}, Block: -1}).Result()
		if err != nil {
			p.b.Fatal(err)
		}
		ids := make([]string, len(r[0].Messages))
		for i, m := range r[0].Messages {
			ids[i] = m.ID
		}
		pipe := p.raw.Pipeline()
		pipe.XAck(ctx, p.stream, "g", ids...)
		pipe.XDel(ctx, p.stream, ids...)
		if _, err := pipe.Exec(ctx); err != nil {
			p.b.Fatal(err)
		}
		total += len(ids)
	}
	return float64(total) / time.Since(start).Seconds()
}

// ownSerial is rawSerial with the driver.
func (p *processBench) ownSerial(n int) float64 {
	start, total := time.Now(), 0
	for total < benchJobs {
		got, err := p.own.Receive(context.Background(), n)
		if err != nil {
			p.b.Fatal(err)
		}
		p.settle(got)
		total += len(got)
	}
	return float64(total) / time.Since(start).Seconds()
}

// ownOverlapped is ownSerial as the core does it: it receives while it settles.
func (p *processBench) ownOverlapped(n int) float64 {
	start, total := time.Now(), 0
	ch := make(chan []*driver.Delivery, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		for got := range ch {
			p.settle(got)
		}
	})
	for total < benchJobs {
		got, err := p.own.Receive(context.Background(), n)
		if err != nil {
			p.b.Fatal(err)
		}
		ch <- got
		total += len(got)
	}
	close(ch)
	wg.Wait()
	return float64(total) / time.Since(start).Seconds()
}

// settle settles jobs as done.
func (p *processBench) settle(got []*driver.Delivery) {
	s := make([]driver.Settlement, len(got))
	for i := range got {
		s[i] = driver.Settlement{Delivery: got[i], Outcome: driver.OutcomeDone}
	}
	if errs := p.own.Settle(context.Background(), s); errs != nil {
		p.b.Error(errs)
	}
}
