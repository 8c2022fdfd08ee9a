package bench

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/redis"
	"github.com/batch-go/batch/internal/brokers"
)

func TestMain(m *testing.M) { brokers.Main(m) }

const (
	producers = 64
	jobs      = 20_000   // a round of one contender, about a quarter of a second
	backlog   = 5 * jobs // a round of processing, so that start and stop weigh little
	bodySize  = 256
)

// payload encodes to bodySize bytes of JSON.
type payload struct{ P string }

func (payload) Kind() string { return "bench" }

var (
	args = payload{strings.Repeat("x", bodySize-len(`{"P":""}`))}
	body = []byte(`{"P":"` + args.P + `"}`)
)

// stopwatch adds up the rounds of one contender.
type stopwatch struct {
	jobs int
	took time.Duration
}

func (s *stopwatch) time(n int, do func()) {
	start := time.Now()
	do()
	s.took += time.Since(start)
	s.jobs += n
}

func (s *stopwatch) rate() float64 { return float64(s.jobs) / s.took.Seconds() }

// setup connects the raw client and the driver to one Redis, and gives both an
// empty queue.
func setup(b *testing.B) (*goredis.Client, *redis.Driver, *batch.Queue[*redis.Driver]) {
	b.Helper()
	server := brokers.Redis(b, brokers.Redis8)
	options, err := goredis.ParseURL(server.URL())
	if err != nil {
		b.Fatal(err)
	}
	options.PoolSize = producers // the raw client is to lack nothing
	raw := goredis.NewClient(options)
	b.Cleanup(func() { raw.Close() })
	d, err := redis.Open(b.Context(), server.URL())
	if err != nil {
		b.Fatal(err)
	}
	q := batch.NewQueue(d, fmt.Sprint("bench-", time.Now().UnixNano()))
	if err := q.Declare(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		q.Drop(context.Background())
		d.Close(context.Background())
	})
	return raw, d, q
}

const stream = "bench-raw"

func xadd() *goredis.XAddArgs {
	return &goredis.XAddArgs{Stream: stream, Values: []any{"body", body}}
}

// BenchmarkRedisEnqueue: 64 producers, each waiting for its own confirmation,
// against 64 goroutines that each do a plain XADD, and against XADD pipelined by
// 500.
func BenchmarkRedisEnqueue(b *testing.B) {
	raw, _, q := setup(b)
	ctx := b.Context()
	var plain, pipelined, ours stopwatch
	for b.Loop() {
		plain.time(jobs, func() {
			spread(b, func() error { return raw.XAdd(ctx, xadd()).Err() })
		})
		must(b, raw.Del(ctx, stream).Err())
		pipelined.time(jobs, func() {
			for sent := 0; sent < jobs; sent += 500 {
				_, err := raw.Pipelined(ctx, func(p goredis.Pipeliner) error {
					for range 500 {
						p.XAdd(ctx, xadd())
					}
					return nil
				})
				must(b, err)
			}
		})
		must(b, raw.Del(ctx, stream).Err())
		ours.time(jobs, func() {
			spread(b, func() error { _, err := q.Enqueue(ctx, args); return err })
		})
		must(b, q.Drop(ctx))
	}
	b.ReportMetric(plain.rate(), "plain-XADD/s")
	b.ReportMetric(pipelined.rate(), "pipelined-XADD/s")
	b.ReportMetric(ours.rate(), "batch/s")
	b.ReportMetric(ours.rate()/plain.rate(), "x-plain(>=3)")
	b.ReportMetric(ours.rate()/pipelined.rate(), "x-pipelined(>=0.5)")
}

// BenchmarkRedisProcess: a worker whose handler does nothing against a raw loop
// of XREADGROUP 500, XACK and XDEL, both over a backlog.
func BenchmarkRedisProcess(b *testing.B) {
	raw, d, q := setup(b)
	ctx := b.Context()
	var loop, ours stopwatch
	for b.Loop() {
		fill(b, raw)
		loop.time(backlog, func() { drainRaw(b, raw) })
		must(b, raw.Del(ctx, stream).Err())

		fillQueue(b, q)
		var handled atomic.Int64
		done := make(chan struct{})
		w := batch.NewWorker(d, batch.WorkerConfig{
			Queues: []batch.WorkerQueue{{Name: q.Name(), Concurrency: 64, Prefetch: 936}},
			Hooks:  []batch.Hook{},
		})
		batch.Handle(w, func(context.Context, *batch.Job[payload]) error {
			if handled.Add(1) == backlog {
				close(done)
			}
			return nil
		})
		ours.time(backlog, func() {
			must(b, w.Start(ctx))
			<-done
			// The stop is part of it: the last settlements are confirmed then.
			must(b, w.Stop(ctx))
		})
	}
	b.ReportMetric(loop.rate(), "raw-loop/s")
	b.ReportMetric(ours.rate(), "batch/s")
	b.ReportMetric(ours.rate()/loop.rate(), "x-raw(>=0.5)")
}

// BenchmarkRedisPickup: from the call of Enqueue to the call of the handler on an
// idle queue, against the round trip of one XADD.
func BenchmarkRedisPickup(b *testing.B) {
	raw, d, q := setup(b)
	ctx := b.Context()
	started := make(chan time.Time, 1)
	w := batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: q.Name()}}, Hooks: []batch.Hook{}})
	batch.Handle(w, func(context.Context, *batch.Job[payload]) error { started <- time.Now(); return nil })
	must(b, w.Start(ctx))
	var trips, pickups []time.Duration
	for b.Loop() {
		for range 200 {
			start := time.Now()
			must(b, raw.XAdd(ctx, xadd()).Err())
			trips = append(trips, time.Since(start))

			start = time.Now()
			_, err := q.Enqueue(ctx, args)
			must(b, err)
			pickups = append(pickups, (<-started).Sub(start))
			// Idle again: settled, and waiting for the next.
			for {
				depth, err := q.Depth(ctx)
				must(b, err)
				if depth == (batch.Depth{}) {
					break
				}
			}
		}
	}
	must(b, w.Stop(ctx))
	must(b, raw.Del(ctx, stream).Err())
	trip, p50, p99 := percentile(trips, 50), percentile(pickups, 50), percentile(pickups, 99)
	b.ReportMetric(float64(trip.Microseconds()), "raw-trip-p50-us")
	b.ReportMetric(float64(p50.Microseconds()), "pickup-p50-us")
	b.ReportMetric(float64(p99.Microseconds()), "pickup-p99-us")
	b.ReportMetric(float64(p50)/float64(trip), "trips(<=3)")
}

// spread has the producers make all the calls of a round.
func spread(b *testing.B, do func() error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range producers {
		wg.Go(func() {
			for next.Add(1) <= jobs {
				if err := do(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func fill(b *testing.B, raw *goredis.Client) {
	ctx := b.Context()
	must(b, raw.XGroupCreateMkStream(ctx, stream, "g", "0").Err())
	for sent := 0; sent < backlog; sent += 500 {
		_, err := raw.Pipelined(ctx, func(p goredis.Pipeliner) error {
			for range 500 {
				p.XAdd(ctx, xadd())
			}
			return nil
		})
		must(b, err)
	}
}

func drainRaw(b *testing.B, raw *goredis.Client) {
	ctx := b.Context()
	for done := 0; done < backlog; {
		streams, err := raw.XReadGroup(ctx, &goredis.XReadGroupArgs{
			Group: "g", Consumer: "c", Streams: []string{stream, ">"}, Count: 500,
		}).Result()
		must(b, err)
		ids := make([]string, 0, 500)
		for _, m := range streams[0].Messages {
			ids = append(ids, m.ID)
		}
		must(b, raw.XAck(ctx, stream, "g", ids...).Err())
		must(b, raw.XDel(ctx, stream, ids...).Err())
		done += len(ids)
	}
}

func fillQueue(b *testing.B, q *batch.Queue[*redis.Driver]) {
	requests := make([]batch.Request[*redis.Driver], 1000)
	for i := range requests {
		requests[i].Args = args
	}
	for sent := 0; sent < backlog; sent += len(requests) {
		_, err := q.EnqueueMany(b.Context(), requests)
		must(b, err)
	}
}

func percentile(all []time.Duration, p int) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)*p/100]
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
