package bench

import (
	"context"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/redis"
	"github.com/batch-go/batch/internal/brokers"
)

// stream is what the raw client uses.
const stream = "bench-raw"

// setupRedis connects the raw client and the driver to one Redis.
func setupRedis(b *testing.B) (*goredis.Client, *batch.Queue[*redis.Driver]) {
	b.Helper()
	server := brokers.Redis(b, brokers.Redis8)
	options, err := goredis.ParseURL(server.URL())
	must(b, err)
	options.PoolSize = producers // the raw client is to lack nothing
	raw := goredis.NewClient(options)
	b.Cleanup(func() { must(b, raw.Close()) })
	d, err := redis.Open(b.Context(), server.URL())
	must(b, err)
	return raw, newQueue(b, d)
}

func xadd() *goredis.XAddArgs {
	return &goredis.XAddArgs{Stream: stream, Values: []any{"body", body}}
}

// pipeline adds n entries, 500 to a request.
func pipeline(b *testing.B, raw *goredis.Client, n int) {
	ctx := b.Context()
	share(b, 1, n, 500, func(n int) error {
		_, err := raw.Pipelined(ctx, func(p goredis.Pipeliner) error {
			for range n {
				p.XAdd(ctx, xadd())
			}
			return nil
		})
		return err
	})
}

// BenchmarkRedisEnqueue: 64 producers, each waiting for its own confirmation,
// against 64 goroutines that each do a plain XADD, and against XADD pipelined by
// 500.
func BenchmarkRedisEnqueue(b *testing.B) {
	raw, q := setupRedis(b)
	ctx := b.Context()
	remove := func() { must(b, raw.Del(ctx, stream).Err()) }
	compare(b, jobs, []*contender{{
		name: "plain", target: "(>=3)",
		round: func() { spread(b, jobs, func() error { return raw.XAdd(ctx, xadd()).Err() }) },
		after: remove,
	}, {
		name: "pipelined", target: "(>=0.5)",
		round: func() { pipeline(b, raw, jobs) },
		after: remove,
	}}, []*contender{{
		name:  "batch",
		round: func() { enqueue(b, q, jobs) },
		after: func() { renew(b, q) },
	}})
}

// BenchmarkRedisEnqueueAlone: one producer, with a context that never ends and with one
// that has a deadline, against one that does a plain XADD. The turns are short, so that
// all of them have the same machine.
func BenchmarkRedisEnqueueAlone(b *testing.B) {
	const turn = 1000
	raw, q := setupRedis(b)
	deadline, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()
	alone := func(do func() error) func() { return func() { share(b, 1, turn, 1, func(int) error { return do() }) } }
	enqueue := func(ctx context.Context) func() {
		return alone(func() error { _, err := q.Enqueue(ctx, args); return err })
	}
	compare(b, turn, []*contender{{
		name: "plain", target: "(>=0.9)",
		round: alone(func() error { return raw.XAdd(context.Background(), xadd()).Err() }),
	}}, []*contender{
		{name: "batch", round: enqueue(context.Background())},
		{name: "deadline", round: enqueue(deadline)},
	})
	must(b, raw.Del(b.Context(), stream).Err())
}

// BenchmarkRedisProcess: a worker whose handler does nothing against a raw loop
// of XREADGROUP 500, XACK and XDEL, both over a backlog.
func BenchmarkRedisProcess(b *testing.B) {
	raw, q := setupRedis(b)
	ctx := b.Context()
	compare(b, backlog, []*contender{{
		name: "raw", target: "(>=0.5)",
		before: func() {
			must(b, raw.XGroupCreateMkStream(ctx, stream, "g", "0").Err())
			pipeline(b, raw, backlog)
		},
		round: func() { drainStream(b, raw, backlog) },
		after: func() { must(b, raw.Del(ctx, stream).Err()) },
	}}, processing(b, q, nil))
}

func drainStream(b *testing.B, raw *goredis.Client, n int) {
	ctx := b.Context()
	for done := 0; done < n; {
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

// BenchmarkRedisPickup: from the call of Enqueue to the call of the handler on an
// idle queue, against the round trip of one XADD.
func BenchmarkRedisPickup(b *testing.B) {
	raw, q := setupRedis(b)
	ctx := b.Context()
	started := make(chan time.Time, 1)
	w := newWorker(q, adapted)
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
	b.ReportMetric(0, "ns/op")
}
